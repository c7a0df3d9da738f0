// Stochastic gradient descent with momentum, one parameter tensor at a time.
//
//   d = g + decay w            (coupled: as L2 regularisation)
//   v = momentum v + d
//   w = w - rate (nesterov ? d + momentum v : v)  -  rate decoupled_decay w
//
// PyTorch's convention (the rate multiplies the velocity); Loshchilov & Hutter (2019) for decoupled decay.
#pragma once

#include <cstdint>

#include "kernels/simt/host_device.h"

namespace hinge::kernels {

struct SgdOptions {
  float rate = 0.1f;
  float momentum = 0.9f;
  float decay = 0.0f;
  bool decoupled = false;
  bool nesterov = false;
};

// One element's step, as above.
SIMT_HOST_DEVICE inline void sgd_update(const SgdOptions& options, float gradient, float& velocity, float& weight) {
  const float direction = gradient + (options.decoupled ? 0.0f : options.decay) * weight;
  const float v = options.momentum * velocity + direction;
  velocity = v;
  const float step = (options.nesterov ? direction : 0.0f) + (options.nesterov ? options.momentum : 1.0f) * v;
  weight = (options.decoupled ? 1.0f - options.rate * options.decay : 1.0f) * weight - options.rate * step;
}

struct SgdStep {
  static constexpr const char* kName = "sgd";
  using Signature = void(std::int64_t size, const SgdOptions&, const float* gradient,
                         float* velocity, float* weight);
};

}  // namespace hinge::kernels
