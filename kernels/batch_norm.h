// Batch normalisation over N,H,W for each channel, with the residual add and the ReLU behind it in the same pass.
//
//   x, z, y : [N, H, W, C] seen as [rows, C]        gamma, beta, mean, rstd : [C]
//   y = act( gamma[c] (x - mean[c]) rstd[c] + beta[c] + z )     act = ReLU or identity, z = 0 where absent
//   mean, var over rows (biased);  rstd = 1 / sqrt(var + epsilon)
//
// Ioffe & Szegedy, "Batch normalization", ICML 2015, equations 1 to 4 and the gradient below them.
#pragma once

#include <cstdint>

namespace hinge::kernels {

struct BatchNormShape {
  std::int64_t rows = 0, c = 0;
  bool relu = false;
};

// mean[c] and var[c] of x.
struct BatchNormStatistics {
  static constexpr const char* kName = "batch norm statistics";
  using Signature = void(const BatchNormShape&, const float* x, float* mean, float* var);
};

// y = act(x * scale[c] + shift[c] + z); z may be null, y may be x.
struct BatchNormApply {
  static constexpr const char* kName = "batch norm";
  using Signature = void(const BatchNormShape&, const float* x, const float* scale,
                         const float* shift, const float* z, float* y);
};

struct BatchNormGradients {
  float* dx;  // null: not wanted
  float* dz;  // gradient of the residual; null: not wanted
  float* dgamma;
  float* dbeta;
};

// From dy, and the saved x, y (for the ReLU's mask), mean and rstd. `batch_statistics` is false when mean and rstd
// were constants (inference): dx has no correction terms then.
struct BatchNormBackward {
  static constexpr const char* kName = "batch norm backward";
  using Signature = void(const BatchNormShape&, const float* dy, const float* x, const float* y,
                         const float* mean, const float* rstd, const float* gamma,
                         bool batch_statistics, const BatchNormGradients&);
};

}  // namespace hinge::kernels
