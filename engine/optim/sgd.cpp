#include "engine/optim/sgd.h"

#include "kernels/registry.h"

namespace hinge {
namespace {

// The values' bytes, as a tensor on the CPU.
template <class T>
Tensor bytes_of(const std::vector<T>& values) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(values.data());
  const std::size_t count = values.size() * sizeof(T);
  return Tensor::from<std::uint8_t>({static_cast<std::int64_t>(count)}, {bytes, count});
}

// Makes `table` hold `bytes`, in the same place where it has that size already.
void send(Tensor& table, const Tensor& bytes, Device device) {
  if (!table.defined() || !(table.shape() == bytes.shape()) || !(table.device() == device)) {
    table = Tensor::empty(bytes.shape(), DType::kUint8, device);
  }
  table.copy_from(bytes);
}

}  // namespace

Sgd::Sgd(const SgdConfig& config) : config_(config) {
  require(config.momentum >= 0.0f && config.momentum < 1.0f, "sgd: momentum {} is not in [0, 1)", config.momentum);
  require(config.decay >= 0.0f, "sgd: weight decay {} is negative", config.decay);
  require(!config.nesterov || config.momentum > 0.0f, "sgd: Nesterov's step needs momentum above 0");
}

void Sgd::set_rate(std::span<Parameter* const> parameters, float rate, const Stream& stream) {
  options_.clear();
  for (const Parameter* parameter : parameters) {
    const bool decays = config_.decay_norms_and_biases || parameter->kind == ParameterKind::kConvWeight ||
                        parameter->kind == ParameterKind::kLinearWeight;
    options_.push_back({.rate = rate * parameter->rate_scale,
                        .momentum = config_.momentum,
                        .decay = decays ? config_.decay * parameter->decay_scale : 0.0f,
                        .decoupled = config_.decoupled,
                        .nesterov = config_.nesterov});
  }
  if (!stream.device().is_cpu()) send(device_options_, bytes_of(options_), stream.device());
}

Tensor& Sgd::velocity_of(const Parameter& parameter, const Stream& stream) {
  auto [velocity, is_new] = velocities_.try_emplace(parameter.name);
  if (is_new) velocity->second = Tensor::zeros(parameter.value.shape(), DType::kFloat32, stream.device());
  require(velocity->second.shape() == parameter.value.shape(), "sgd: {} is {}, its velocity {}",
          parameter.name, parameter.value.shape(), velocity->second.shape());
  velocity->second = velocity->second.to(stream.device());  // a checkpoint's lie on the CPU
  return velocity->second;
}

void Sgd::update(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, const Stream& stream) {
  require(parameters.size() == gradients.size(), "sgd: {} parameters, {} gradients", parameters.size(),
          gradients.size());
  require(parameters.size() == options_.size(), "sgd: {} parameters, rates were set for {}", parameters.size(), options_.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    require(gradients[i].shape() == parameters[i]->value.shape(), "sgd: {} is {}, its gradient {}", parameters[i]->name,
            parameters[i]->value.shape(), gradients[i].shape());
  }
  if (!stream.device().is_cpu()) return update_on_device(parameters, gradients, stream);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    Parameter& parameter = *parameters[i];
    kernels::dispatch<kernels::SgdStep>(stream, parameter.value.size(), options_[i], gradients[i].data(),
                                        velocity_of(parameter, stream).mutable_data(), parameter.value.mutable_data());
  }
}

void Sgd::update_on_device(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, const Stream& stream) {
  std::vector<kernels::SgdParameter> all;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    Parameter& parameter = *parameters[i];
    all.push_back({parameter.value.mutable_data(), velocity_of(parameter, stream).mutable_data(), gradients[i].data(), parameter.value.size()});
  }
  const std::vector<kernels::SgdChunk> chunks = kernels::sgd_chunks(all);
  if (chunks.empty()) return;
  const Tensor bytes = bytes_of(chunks);
  const Tensor* table = &device_chunks_;
  if (stream.is_capturing()) {
    const MemoryPool::Outside outside(stream.device());  // finish_capture writes it
    captured_.emplace_back(Tensor::empty(bytes.shape(), DType::kUint8, stream.device()), bytes);
    table = &captured_.back().first;
  } else {
    send(device_chunks_, bytes, stream.device());
  }
  kernels::dispatch<kernels::SgdStepAll>(
      stream, kernels::SgdTable{reinterpret_cast<const kernels::SgdChunk*>(table->data<std::uint8_t>()),
                                reinterpret_cast<const kernels::SgdOptions*>(device_options_.data<std::uint8_t>()),
                                static_cast<int>(chunks.size())});
}

void Sgd::finish_capture(const Stream&) {
  for (auto& [table, bytes] : captured_) {
    if (bytes.defined()) table.copy_from(bytes);
    bytes = Tensor();
  }
}

void Sgd::restore(const std::map<std::string, Tensor>& state) {
  velocities_.clear();
  for (const auto& [name, tensor] : state) velocities_.emplace(name, tensor.clone());
}

}  // namespace hinge
