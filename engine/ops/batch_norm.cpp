#include "engine/ops/batch_norm.h"

#include <cmath>

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

void update_running(Tensor& running_mean, Tensor& running_var, const Tensor& mean,
                    const Tensor& var, std::int64_t rows, float momentum) {
  const float unbiased = static_cast<float>(static_cast<double>(rows) / static_cast<double>(rows - 1));
  float *m = running_mean.mutable_data(), *v = running_var.mutable_data();
  for (std::int64_t c = 0; c < mean.size(); ++c) {
    m[c] = (1.0f - momentum) * m[c] + momentum * mean.data()[c];
    v[c] = (1.0f - momentum) * v[c] + momentum * unbiased * var.data()[c];
  }
}

}  // namespace

Tensor batch_norm(const Tensor& x, const BatchNormState& state, const Tensor& residual,
                  const BatchNormOptions& options, const Stream& stream) {
  require(x.shape().rank() >= 2, "batch norm: x is {}, expected [..., C]", x.shape());
  const std::int64_t c = x.dim(x.shape().rank() - 1);
  const kernels::BatchNormShape shape{.rows = c == 0 ? 0 : x.size() / c, .c = c, .relu = options.relu};
  check(x, state, residual, shape, options.training);

  Tensor mean = state.running_mean.detached(), var = state.running_var.detached();
  if (options.training) {
    mean = Tensor::empty({c}), var = Tensor::empty({c});
    kernels::dispatch<kernels::BatchNormStatistics>(stream, shape, x.data(), mean.mutable_data(),
                                                    var.mutable_data());
    update_running(state.running_mean, state.running_var, mean, var, shape.rows, options.momentum);
  } else if (wants_gradient(x) || wants_gradient(state.gamma)) {
    mean = mean.clone();  // the running statistics may change before the backward pass
  }
  Tensor rstd = Tensor::empty({c}), scale = Tensor::empty({c}), shift = Tensor::empty({c});
  for (std::int64_t j = 0; j < c; ++j) {
    const float r = 1.0f / std::sqrt(var.data()[j] + options.epsilon);
    rstd.mutable_data()[j] = r;
    scale.mutable_data()[j] = state.gamma.data()[j] * r;
    shift.mutable_data()[j] = state.beta.data()[j] - mean.data()[j] * scale.data()[j];
  }
  Tensor y = Tensor::empty(x.shape(), x.dtype(), stream.device());
  kernels::dispatch<kernels::BatchNormApply>(stream, shape, x.data(), scale.data(), shift.data(),
                                             residual.defined() ? residual.data() : nullptr,
                                             y.mutable_data());

  return record(
      "batch_norm", {x, state.gamma, state.beta, residual}, y,
      [shape, x = x.detached(), y = options.relu ? y : Tensor(), gamma = state.gamma.clone(), mean,
       rstd, training = options.training, wants_x = wants_gradient(x),
       wants_z = residual.defined() && wants_gradient(residual)](const Tensor& dy,
                                                                 const Stream& on) -> Gradients {
        Tensor dx, dz, dgamma = Tensor::empty({shape.c}), dbeta = Tensor::empty({shape.c});
        if (wants_x) dx = Tensor::empty(x.shape(), x.dtype(), on.device());
        // Without a ReLU the residual's gradient is dy itself.
        if (wants_z) dz = shape.relu ? Tensor::empty(x.shape(), x.dtype(), on.device()) : dy.detached();
        kernels::dispatch<kernels::BatchNormBackward>(
            on, shape, dy.data(), x.data(), shape.relu ? y.data() : nullptr, mean.data(),
            rstd.data(), gamma.data(), training,
            kernels::BatchNormGradients{wants_x ? dx.mutable_data() : nullptr,
                                        wants_z && shape.relu ? dz.mutable_data() : nullptr,
                                        dgamma.mutable_data(), dbeta.mutable_data()});
        return {dx, dgamma, dbeta, dz};
      });
}

}  // namespace hinge
