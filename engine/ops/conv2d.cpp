#include "engine/ops/conv2d.h"

#include "engine/autograd/element_type.h"
#include "kernels/conv2d.h"
#include "kernels/registry.h"

namespace hinge {
namespace {

kernels::ConvShape shape_of(const Tensor& x, const Tensor& w, const Tensor& b,
                            const Conv2dOptions& options) {
  require(x.shape().rank() == 4, "conv2d: x is {}, expected [N, H, W, C]", x.shape());
  require(w.shape().rank() == 4, "conv2d: w is {}, expected [K, R, S, C/groups]", w.shape());
  require(options.stride >= 1 && options.padding >= 0 && options.groups >= 1,
          "conv2d: stride {}, padding {}, groups {}: out of range", options.stride, options.padding,
          options.groups);
  kernels::ConvShape shape{.n = x.dim(0),
                           .h = x.dim(1),
                           .w = x.dim(2),
                           .c = x.dim(3),
                           .k = w.dim(0),
                           .r = w.dim(1),
                           .s = w.dim(2),
                           .stride = options.stride,
                           .padding = options.padding,
                           .groups = options.groups};
  require(shape.c == w.dim(3) * options.groups,
          "conv2d: x has {} channels, w takes {} in each of {} groups", shape.c, w.dim(3),
          options.groups);
  require(shape.k % options.groups == 0, "conv2d: {} filters don't divide into {} groups", shape.k,
          options.groups);
  require(!b.defined() || b.shape() == Shape{shape.k}, "conv2d: bias is {}, expected [{}]",
          b.shape(), shape.k);
  require(shape.h + 2 * shape.padding >= shape.r && shape.w + 2 * shape.padding >= shape.s,
          "conv2d: the {}x{} filter is larger than the padded {}x{} input", shape.r, shape.s,
          shape.h + 2 * shape.padding, shape.w + 2 * shape.padding);
  return shape;
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options,
              const Stream& stream) {
  const kernels::ConvShape shape = shape_of(x, w, b, options);
  Tensor y = Tensor::empty({shape.n, shape.p(), shape.q(), shape.k}, x.dtype(), stream.device());
  by_element_type(x, [&]<class T>(T) {
    kernels::dispatch<kernels::Conv2dForwardOf<T>>(stream, shape, x.data<T>(), w.data<T>(), b.defined() ? b.data() : nullptr, y.mutable_data<T>());
  });

  return record("conv2d", {x, w, b}, y,
                [shape, x = x.detached(), w = w.detached(), wants_x = wants_gradient(x),
                 wants_w = wants_gradient(w), wants_b = b.defined() && wants_gradient(b)](
                    const Tensor& dy, const Stream& on) -> Gradients {
                  Tensor dx, dw, db;
                  by_element_type(x, [&]<class T>(T) {
                    if (wants_w || wants_b) {
                      dw = Tensor::empty(w.shape(), w.dtype(), on.device());
                      if (wants_b) db = Tensor::empty({shape.k}, DType::kFloat32, on.device());
                      kernels::dispatch<kernels::Conv2dBackwardWeightsOf<T>>(on, shape, x.data<T>(), dy.data<T>(), dw.mutable_data<T>(), wants_b ? db.mutable_data() : nullptr);
                    }
                    if (wants_x) {
                      dx = Tensor::empty(x.shape(), x.dtype(), on.device());
                      kernels::dispatch<kernels::Conv2dBackwardDataOf<T>>(on, shape, dy.data<T>(), w.data<T>(), dx.mutable_data<T>());
                    }
                  });
                  return {dx, dw, db};
                });
}

}  // namespace hinge
