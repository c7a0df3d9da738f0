#include "engine/ops/elementwise.h"

#include "kernels/elementwise.h"
#include "kernels/registry.h"

namespace hinge {

Tensor relu(const Tensor& x, const Stream& stream) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), stream.device());
  kernels::dispatch<kernels::ReluForward>(stream, x.size(), x.data(), y.mutable_data());

  return record("relu", {x}, y, [y](const Tensor& dy, const Stream& on) -> Gradients {
    Tensor dx = Tensor::empty(y.shape(), y.dtype(), on.device());
    kernels::dispatch<kernels::ReluBackward>(on, y.size(), dy.data(), y.data(), dx.mutable_data());
    return {dx};
  });
}

Tensor capped_relu(const Tensor& x, float ceiling, const Stream& stream) {
  require(ceiling > 0.0f, "capped relu: ceiling {}, expected above 0", ceiling);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), stream.device());
  kernels::dispatch<kernels::CappedReluForward>(stream, x.size(), ceiling, x.data(), y.mutable_data());

  return record("capped_relu", {x}, y, [y, ceiling](const Tensor& dy, const Stream& on) -> Gradients {
    Tensor dx = Tensor::empty(y.shape(), y.dtype(), on.device());
    kernels::dispatch<kernels::CappedReluBackward>(on, y.size(), ceiling, dy.data(), y.data(), dx.mutable_data());
    return {dx};
  });
}

Tensor add(const Tensor& a, const Tensor& b, const Stream& stream) {
  require(a.shape() == b.shape(), "add: shapes differ, a is {}, b is {}", a.shape(), b.shape());
  Tensor c = Tensor::empty(a.shape(), a.dtype(), stream.device());
  kernels::dispatch<kernels::Add>(stream, a.size(), a.data(), b.data(), c.mutable_data());

  return record("add", {a, b}, c, [](const Tensor& dy, const Stream&) -> Gradients {
    return {dy, dy};
  });
}

Tensor dropout(const Tensor& x, const DropoutOptions& options, const Stream& stream) {
  require(options.rate >= 0.0f && options.rate < 1.0f, "dropout: rate {} is not in [0, 1)",
          options.rate);
  const kernels::DropoutShape shape{.size = x.size(),
                                    .rate = options.rate,
                                    .seed = options.seed,
                                    .step = options.step,
                                    .layer = options.layer,
                                    .first = x.size() == 0 ? 0 : options.first_image * (x.size() / x.dim(0))};
  Tensor y = Tensor::empty(x.shape(), x.dtype(), stream.device());
  kernels::dispatch<kernels::Dropout>(stream, shape, x.data(), y.mutable_data());

  return record("dropout", {x}, y, [shape](const Tensor& dy, const Stream& on) -> Gradients {
    Tensor dx = Tensor::empty(dy.shape(), dy.dtype(), on.device());
    kernels::dispatch<kernels::Dropout>(on, shape, dy.data(), dx.mutable_data());
    return {dx};
  });
}

}  // namespace hinge
