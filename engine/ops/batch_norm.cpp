#include "engine/ops/batch_norm.h"

#include "engine/autograd/element_type.h"
#include "engine/ops/synchronized_statistics.h"
#include "kernels/batch_norm.h"
#include "kernels/registry.h"

namespace hinge {
namespace {

void check(const Tensor& x, const BatchNormState& state, const Tensor& residual,
           const kernels::BatchNormShape& shape, bool training) {
  const Shape channels{shape.c};
  require(state.gamma.shape() == channels && state.beta.shape() == channels &&
              state.running_mean.shape() == channels && state.running_var.shape() == channels,
          "batch norm: x is {}, so parameters must be [{}]; gamma is {}, beta {}, mean {}, var {}",
          x.shape(), shape.c, state.gamma.shape(), state.beta.shape(), state.running_mean.shape(),
          state.running_var.shape());
  require(!residual.defined() || residual.shape() == x.shape(),
          "batch norm: the residual is {}, x is {}", residual.shape(), x.shape());
  require(!training || shape.rows >= 2,
          "batch norm: training needs at least 2 values per channel, x is {}", x.shape());
}

}  // namespace

Tensor batch_norm(const Tensor& x, const BatchNormState& state, const Tensor& residual,
                  const BatchNormOptions& options, const Stream& stream) {
  require(x.shape().rank() >= 2, "batch norm: x is {}, expected [..., C]", x.shape());
  const std::int64_t c = x.dim(x.shape().rank() - 1);
  const kernels::BatchNormShape shape{.rows = c == 0 ? 0 : x.size() / c, .c = c, .relu = options.relu};
  check(x, state, residual, shape, options.training);

  ProcessGroup* const over = options.training ? options.over : nullptr;
  std::int64_t all_rows = shape.rows;
  Tensor mean = state.running_mean.detached(), var = state.running_var.detached();
  const auto per_channel = [&] { return Tensor::empty({c}, DType::kFloat32, stream.device()); };
  if (options.training) {
    mean = per_channel(), var = per_channel();
    by_element_type(x, [&]<class T>(T) { kernels::dispatch<kernels::BatchNormStatisticsOf<T>>(stream, shape, x.data<T>(), mean.mutable_data(), var.mutable_data()); });
    if (over != nullptr) all_rows = sum_statistics(*over, shape.rows, state.running_mean, mean, var);
  } else if (wants_gradient(x) || wants_gradient(state.gamma)) {
    mean = mean.clone();  // the running statistics may change before the backward pass
  }
  Tensor rstd = per_channel(), scale = per_channel(), shift = per_channel();
  Tensor running_mean = state.running_mean, running_var = state.running_var;
  kernels::dispatch<kernels::BatchNormPrepare>(
      stream, c, kernels::BatchNormUpdate{all_rows, options.momentum, options.epsilon}, mean.data(), var.data(), state.gamma.data(),
      state.beta.data(),
      kernels::BatchNormConstants{rstd.mutable_data(), scale.mutable_data(), shift.mutable_data(),
                                  options.training ? running_mean.mutable_data() : nullptr,
                                  options.training ? running_var.mutable_data() : nullptr});
  Tensor y = Tensor::empty(x.shape(), x.dtype(), stream.device());
  by_element_type(x, [&]<class T>(T) {
    kernels::dispatch<kernels::BatchNormApplyOf<T>>(stream, shape, x.data<T>(), scale.data(), shift.data(), residual.defined() ? residual.data<T>() : nullptr, y.mutable_data<T>());
  });

  return record(
      "batch_norm", {x, state.gamma, state.beta, residual}, y,
      [shape, over, all_rows, x = x.detached(), y = options.relu ? y : Tensor(), gamma = state.gamma.clone(), mean,
       rstd, training = options.training, wants_x = wants_gradient(x),
       wants_z = residual.defined() && wants_gradient(residual)](const Tensor& dy,
                                                                 const Stream& on) -> Gradients {
        Tensor dx, dz, dgamma = Tensor::empty({shape.c}, DType::kFloat32, on.device()),
                       dbeta = Tensor::empty({shape.c}, DType::kFloat32, on.device());
        if (wants_x) dx = Tensor::empty(x.shape(), x.dtype(), on.device());
        // Without a ReLU the residual's gradient is dy itself.
        if (wants_z) dz = shape.relu ? Tensor::empty(x.shape(), x.dtype(), on.device()) : dy.detached();
        by_element_type(x, [&]<class T>(T) {
          kernels::dispatch<kernels::BatchNormBackwardOf<T>>(
              on, shape, dy.data<T>(), x.data<T>(), shape.relu ? y.data<T>() : nullptr, mean.data(), rstd.data(), gamma.data(), training && over == nullptr,
              kernels::BatchNormGradientsOf<T>{wants_x ? dx.mutable_data<T>() : nullptr, wants_z && shape.relu ? dz.mutable_data<T>() : nullptr, dgamma.mutable_data(), dbeta.mutable_data()});
        });
        if (over != nullptr && wants_x) dx = with_statistics_gradient(*over, {x, mean, rstd, gamma, all_rows}, dx, dgamma, dbeta, on);
        return {dx, dgamma, dbeta, dz};
      });
}

}  // namespace hinge
