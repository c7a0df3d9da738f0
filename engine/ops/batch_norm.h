// Batch normalisation, optionally with the residual add and the ReLU behind it in the same pass over memory.
#pragma once

#include "engine/autograd/node.h"
#include "engine/core/process_group.h"

namespace hinge {

struct BatchNormOptions {
  bool training = false;  // batch statistics, and the running ones are updated; else running statistics
  float momentum = 0.1f;  // running = (1 - momentum) running + momentum batch
  float epsilon = 1e-5f;
  bool relu = false;
  ProcessGroup* over = nullptr;  // training: statistics of all ranks' rows, as if x were all of them in one (CPU only)
};

// gamma, beta, running_mean, running_var : [C]
struct BatchNormState {
  const Tensor& gamma;
  const Tensor& beta;
  Tensor& running_mean;
  Tensor& running_var;
};

// y = act( gamma (x - mean) / sqrt(var + epsilon) + beta + residual ),  x, residual, y : [..., C]
// `residual` may be undefined. Training updates running_mean and running_var in place (the unbiased variance, as
// PyTorch does) and needs at least two values per channel. Ioffe & Szegedy, ICML 2015.
Tensor batch_norm(const Tensor& x, const BatchNormState& state, const Tensor& residual,
                  const BatchNormOptions& options, const Stream& stream);

}  // namespace hinge
