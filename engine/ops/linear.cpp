#include "engine/ops/linear.h"

#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/registry.h"

namespace hinge {

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b, const Stream& stream) {
  require(x.shape().rank() == 2 && w.shape().rank() == 2 && x.dim(1) == w.dim(1),
          "linear: x is {}, w is {}; expected [N, C] and [K, C]", x.shape(), w.shape());
  const std::int64_t n = x.dim(0), c = x.dim(1), k = w.dim(0);
  require(!b.defined() || b.shape() == Shape{k}, "linear: bias is {}, expected [{}]", b.shape(), k);
  Tensor y = Tensor::empty({n, k}, DType::kFloat32, stream.device());
  kernels::dispatch<kernels::Gemm>(stream, kernels::GemmShape{.m = n, .n = k, .k = c, .transpose_b = true},
                                   x.data(), w.data(), y.mutable_data());
  if (b.defined()) {
    kernels::dispatch<kernels::BiasAdd>(stream, n, k, y.data(), b.data(), y.mutable_data());
  }

  return record("linear", {x, w, b}, y,
                [n, c, k, x = x.detached(), w = w.detached(), wants_x = wants_gradient(x),
                 wants_w = wants_gradient(w), wants_b = b.defined() && wants_gradient(b)](
                    const Tensor& dy, const Stream& on) -> Gradients {
                  Tensor dx, dw, db;
                  if (wants_x) {
                    dx = Tensor::empty({n, c}, DType::kFloat32, on.device());
                    kernels::dispatch<kernels::Gemm>(on, kernels::GemmShape{.m = n, .n = c, .k = k},
                                                     dy.data(), w.data(), dx.mutable_data());
                  }
                  if (wants_w) {
                    dw = Tensor::empty({k, c}, DType::kFloat32, on.device());
                    kernels::dispatch<kernels::Gemm>(
                        on, kernels::GemmShape{.m = k, .n = c, .k = n, .transpose_a = true},
                        dy.data(), x.data(), dw.mutable_data());
                  }
                  if (wants_b) {
                    db = Tensor::empty({k}, DType::kFloat32, on.device());
                    kernels::dispatch<kernels::BiasBackward>(on, n, k, dy.data(), db.mutable_data());
                  }
                  return {dx, dw, db};
                });
}

}  // namespace hinge
