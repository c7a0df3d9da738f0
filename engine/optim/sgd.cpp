#include "engine/optim/sgd.h"

#include "kernels/registry.h"
#include "kernels/sgd.h"

namespace hinge {

Sgd::Sgd(const SgdConfig& config) : config_(config) {
  require(config.momentum >= 0.0f && config.momentum < 1.0f, "sgd: momentum {} is not in [0, 1)", config.momentum);
  require(config.decay >= 0.0f, "sgd: weight decay {} is negative", config.decay);
  require(!config.nesterov || config.momentum > 0.0f, "sgd: Nesterov's step needs momentum above 0");
}

void Sgd::step(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, float rate,
               const Stream& stream) {
  require(parameters.size() == gradients.size(), "sgd: {} parameters, {} gradients", parameters.size(),
          gradients.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    Parameter& parameter = *parameters[i];
    require(gradients[i].shape() == parameter.value.shape(), "sgd: {} is {}, its gradient {}", parameter.name,
            parameter.value.shape(), gradients[i].shape());
    auto [velocity, is_new] = velocities_.try_emplace(parameter.name);
    if (is_new) velocity->second = Tensor::zeros(parameter.value.shape(), DType::kFloat32, stream.device());
    require(velocity->second.shape() == parameter.value.shape(), "sgd: {} is {}, its velocity {}",
            parameter.name, parameter.value.shape(), velocity->second.shape());
    const bool decays = config_.decay_norms_and_biases || parameter.kind == ParameterKind::kConvWeight ||
                        parameter.kind == ParameterKind::kLinearWeight;
    kernels::dispatch<kernels::SgdStep>(
        stream, parameter.value.size(),
        kernels::SgdOptions{.rate = rate * parameter.rate_scale,
                            .momentum = config_.momentum,
                            .decay = decays ? config_.decay * parameter.decay_scale : 0.0f,
                            .decoupled = config_.decoupled,
                            .nesterov = config_.nesterov},
        gradients[i].data(), velocity->second.mutable_data(), parameter.value.mutable_data());
  }
}

void Sgd::restore(const std::map<std::string, Tensor>& state) {
  velocities_.clear();
  for (const auto& [name, tensor] : state) velocities_.emplace(name, tensor.clone());
}

}  // namespace hinge
