// Stochastic gradient descent with momentum (kernels/sgd.h has the formula).
//
// On the CPU one call per parameter; on a GPU one launch for all, which reads a table of pointers and the rates from the
// GPU's memory. In a captured graph the pointers are always the same, so each capture keeps a table of its own.
#pragma once

#include <vector>

#include "engine/optim/optimizer.h"
#include "kernels/sgd_table.h"

namespace hinge {

struct SgdConfig {
  float momentum = 0.9f;
  float decay = 1e-4f;     // weight decay
  bool decoupled = false;  // apart from the gradient (Loshchilov & Hutter, 2019)
  bool nesterov = false;
  bool decay_norms_and_biases = true;  // false: only weights of convolutions and linear layers decay
};

class Sgd final : public CapturableOptimizer {
 public:
  explicit Sgd(const SgdConfig& config);
  void set_rate(std::span<Parameter* const> parameters, float rate, const Stream& stream) override;
  void update(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, const Stream& stream) override;
  void finish_capture(const Stream& stream) override;
  std::map<std::string, Tensor> state() const override { return velocities_; }
  void restore(const std::map<std::string, Tensor>& state) override;

 private:
  Tensor& velocity_of(const Parameter& parameter, const Stream& stream);
  void update_on_device(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, const Stream& stream);

  SgdConfig config_;
  std::map<std::string, Tensor> velocities_;         // by parameter name
  std::vector<kernels::SgdOptions> options_;         // one per parameter, of the last set_rate
  Tensor device_options_, device_chunks_;            // bytes
  std::vector<std::pair<Tensor, Tensor>> captured_;  // a capture's table on the device, and what is still to go there
};

}  // namespace hinge
