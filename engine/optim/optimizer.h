// Optimisers: they take gradients and change parameters.
#pragma once

#include <map>
#include <span>
#include <string>

#include "engine/nn/module.h"

namespace hinge {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // parameters[i].value changes by gradients[i] at `rate` times the parameter's rate_scale.
  virtual void step(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, float rate,
                    const Stream& stream) = 0;
  // What a resumed run needs to go on as if nothing had happened, by name. The tensors are shared, not copied.
  virtual std::map<std::string, Tensor> state() const = 0;
  virtual void restore(const std::map<std::string, Tensor>& state) = 0;
};

}  // namespace hinge
