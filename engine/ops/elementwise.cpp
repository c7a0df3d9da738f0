#include "engine/ops/elementwise.h"

#include "engine/autograd/element_type.h"
#include "kernels/elementwise.h"
#include "kernels/registry.h"

namespace hinge {

Tensor relu(const Tensor& x, const Stream& stream) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), stream.device());
  by_element_type(x, [&]<class T>(T) { kernels::dispatch<kernels::ReluForwardOf<T>>(stream, x.size(), x.data<T>(), y.mutable_data<T>()); });

  return record("relu", {x}, y, [y](const Tensor& dy, const Stream& on) -> Gradients {
    Tensor dx = Tensor::empty(y.shape(), y.dtype(), on.device());
    by_element_type(y, [&]<class T>(T) { kernels::dispatch<kernels::ReluBackwardOf<T>>(on, y.size(), dy.data<T>(), y.data<T>(), dx.mutable_data<T>()); });
    return {dx};
  });
}

Tensor capped_relu(const Tensor& x, float ceiling, const Stream& stream) {
  require(ceiling > 0.0f, "capped relu: ceiling {}, expected above 0", ceiling);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), stream.device());
  by_element_type(x, [&]<class T>(T) { kernels::dispatch<kernels::CappedReluForwardOf<T>>(stream, x.size(), ceiling, x.data<T>(), y.mutable_data<T>()); });

  return record("capped_relu", {x}, y, [y, ceiling](const Tensor& dy, const Stream& on) -> Gradients {
    Tensor dx = Tensor::empty(y.shape(), y.dtype(), on.device());
    by_element_type(y, [&]<class T>(T) { kernels::dispatch<kernels::CappedReluBackwardOf<T>>(on, y.size(), ceiling, dy.data<T>(), y.data<T>(), dx.mutable_data<T>()); });
    return {dx};
  });
}

Tensor add(const Tensor& a, const Tensor& b, const Stream& stream) {
  require(a.shape() == b.shape(), "add: shapes differ, a is {}, b is {}", a.shape(), b.shape());
  Tensor c = Tensor::empty(a.shape(), a.dtype(), stream.device());
  by_element_type(a, [&]<class T>(T) { kernels::dispatch<kernels::AddOf<T>>(stream, a.size(), a.data<T>(), b.data<T>(), c.mutable_data<T>()); });

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
  by_element_type(x, [&]<class T>(T) { kernels::dispatch<kernels::DropoutOf<T>>(stream, shape, x.data<T>(), y.mutable_data<T>()); });

  return record("dropout", {x}, y, [shape](const Tensor& dy, const Stream& on) -> Gradients {
    Tensor dx = Tensor::empty(dy.shape(), dy.dtype(), on.device());
    by_element_type(dy, [&]<class T>(T) { kernels::dispatch<kernels::DropoutOf<T>>(on, shape, dy.data<T>(), dx.mutable_data<T>()); });
    return {dx};
  });
}

}  // namespace hinge
