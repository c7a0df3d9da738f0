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

// An optimiser whose step can be captured in a graph: what changes from step to step (the rate) is sent to the device
// by set_rate, and update queues work that reads it there.
class CapturableOptimizer : public Optimizer {
 public:
  void step(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, float rate, const Stream& stream) final {
    set_rate(parameters, rate, stream);
    update(parameters, gradients, stream);
  }
  virtual void set_rate(std::span<Parameter* const> parameters, float rate, const Stream& stream) = 0;
  virtual void update(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, const Stream& stream) = 0;
  // Behind a capture that update was part of: sends what could not be sent during it.
  virtual void finish_capture(const Stream& stream) = 0;
};

}  // namespace hinge
