// Batch normalisation over N,H,W for each channel, with the residual add and the ReLU behind it in the same pass.
//
//   x, z, y : [N, H, W, C] seen as [rows, C]        gamma, beta, mean, rstd : [C]
//   y = act( gamma[c] (x - mean[c]) rstd[c] + beta[c] + z )     act = ReLU or identity, z = 0 where absent
//   mean, var over rows (biased);  rstd = 1 / sqrt(var + epsilon)
//
// T is what x, z, y and their gradients lie in memory as: float, or on a GPU Bfloat16. What is per channel is float in any case.
//
// Ioffe & Szegedy, "Batch normalization", ICML 2015, equations 1 to 4 and the gradient below them.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/simt/host_device.h"

namespace hinge::kernels {

struct BatchNormShape {
  std::int64_t rows = 0, c = 0;
  bool relu = false;
};

// mean[c] and var[c] of x.
template <class T>
struct BatchNormStatisticsOf {
  static constexpr const char* kName = "batch norm statistics";
  using Signature = void(const BatchNormShape&, const T* x, float* mean, float* var);
};
using BatchNormStatistics = BatchNormStatisticsOf<float>;

struct BatchNormUpdate {
  std::int64_t rows = 0;
  float momentum = 0.1f;  // weight of the batch in the running statistics
  float epsilon = 1e-5f;
};
struct BatchNormConstants {
  float *rstd, *scale, *shift;  // [C] out
  // The running statistics, moved towards mean and var (unbiased); null: left alone.
  float *running_mean, *running_var;
};
// One channel's share of BatchNormPrepare.
SIMT_HOST_DEVICE inline void prepare_channel(std::int64_t j, const BatchNormUpdate& update, const float* mean, const float* var,
                                             const float* gamma, const float* beta, const BatchNormConstants& out) {
  const float r = 1.0f / std::sqrt(var[j] + update.epsilon);
  out.rstd[j] = r;
  out.scale[j] = gamma[j] * r;
  out.shift[j] = beta[j] - mean[j] * out.scale[j];
  if (out.running_mean == nullptr) return;
  const float unbiased = static_cast<float>(static_cast<double>(update.rows) / static_cast<double>(update.rows - 1));
  out.running_mean[j] = (1.0f - update.momentum) * out.running_mean[j] + update.momentum * mean[j];
  out.running_var[j] = (1.0f - update.momentum) * out.running_var[j] + update.momentum * unbiased * var[j];
}
// rstd = 1 / sqrt(var + epsilon),  scale = gamma rstd,  shift = beta - mean scale   for each of `c` channels.
struct BatchNormPrepare {
  static constexpr const char* kName = "batch norm constants";
  using Signature = void(std::int64_t c, const BatchNormUpdate&, const float* mean, const float* var, const float* gamma,
                         const float* beta, const BatchNormConstants&);
};

// y = act(x * scale[c] + shift[c] + z); z may be null, y may be x.
template <class T>
struct BatchNormApplyOf {
  static constexpr const char* kName = "batch norm";
  using Signature = void(const BatchNormShape&, const T* x, const float* scale,
                         const float* shift, const T* z, T* y);
};
using BatchNormApply = BatchNormApplyOf<float>;

template <class T>
struct BatchNormGradientsOf {
  T* dx;  // null: not wanted
  T* dz;  // gradient of the residual; null: not wanted
  float* dgamma;
  float* dbeta;
};
using BatchNormGradients = BatchNormGradientsOf<float>;

// From dy, and the saved x, y (for the ReLU's mask), mean and rstd. `batch_statistics` is false when mean and rstd
// were constants (inference): dx has no correction terms then.
template <class T>
struct BatchNormBackwardOf {
  static constexpr const char* kName = "batch norm backward";
  using Signature = void(const BatchNormShape&, const T* dy, const T* x, const T* y,
                         const float* mean, const float* rstd, const float* gamma,
                         bool batch_statistics, const BatchNormGradientsOf<T>&);
};
using BatchNormBackward = BatchNormBackwardOf<float>;

}  // namespace hinge::kernels
