// Stochastic gradient descent with momentum (kernels/sgd.h has the formula).
#pragma once

#include "engine/optim/optimizer.h"

namespace hinge {

struct SgdConfig {
  float momentum = 0.9f;
  float decay = 1e-4f;     // weight decay
  bool decoupled = false;  // apart from the gradient (Loshchilov & Hutter, 2019)
  bool nesterov = false;
  bool decay_norms_and_biases = true;  // false: only weights of convolutions and linear layers decay
};

class Sgd final : public Optimizer {
 public:
  explicit Sgd(const SgdConfig& config);
  void step(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, float rate,
            const Stream& stream) override;
  std::map<std::string, Tensor> state() const override { return velocities_; }
  void restore(const std::map<std::string, Tensor>& state) override;

 private:
  SgdConfig config_;
  std::map<std::string, Tensor> velocities_;  // by parameter name
};

}  // namespace hinge
