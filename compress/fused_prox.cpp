#include "compress/fused_prox.h"

#include <algorithm>
#include <map>

namespace hinge::compress {
namespace {

// The values' bytes on the device.
template <class T>
Tensor sent(const std::vector<T>& values, Device device) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(values.data());
  const std::size_t count = values.size() * sizeof(T);
  return Tensor::from<std::uint8_t>({static_cast<std::int64_t>(count)}, {bytes, count}).to(device);
}

template <class T>
T* as(Tensor& bytes) {
  return reinterpret_cast<T*>(bytes.mutable_data<std::uint8_t>());
}

}  // namespace

std::vector<int> launch_of_sets(const std::vector<std::vector<const void*>>& parameters_of_set) {
  std::map<const void*, int> next;  // the first launch that may touch a parameter again
  std::vector<int> waves;
  for (const auto& parameters : parameters_of_set) {
    int wave = 0;
    for (const void* parameter : parameters) wave = std::max(wave, next[parameter]);
    for (const void* parameter : parameters) next[parameter] = wave + 1;
    waves.push_back(wave);
  }
  return waves;
}

FusedProx::FusedProx(const std::vector<std::vector<kernels::GroupView>>& parts, const std::vector<int>& waves, const Stream& stream)
    : stream_(stream) {
  const Device device = stream.device();
  const int count = waves.empty() ? 0 : *std::max_element(waves.begin(), waves.end()) + 1;
  for (int wave = 0; wave < count; ++wave) {
    Launch launch;
    std::vector<kernels::GroupSetSpec> specs;
    for (std::size_t s = 0; s < parts.size(); ++s) {
      if (waves[s] != wave) continue;
      kernels::GroupSetSpec spec{.parts = {}, .groups = parts[s].at(0).groups};
      for (const kernels::GroupView& view : parts[s]) {
        spec.parts.push_back({.data = view.data, .size = view.size, .group_stride = view.group_stride, .element_stride = view.element_stride});
      }
      specs.push_back(std::move(spec));
      launch.sets.push_back(s);
    }
    const kernels::GroupLayout layout = kernels::group_layout(specs);
    const auto sets = static_cast<std::int64_t>(specs.size()), tasks = static_cast<std::int64_t>(layout.tasks.size());
    launch.tasks = sent(layout.tasks, device), launch.parts = sent(layout.parts, device), launch.first_task = sent(layout.first_task, device);
    launch.gammas = Tensor::zeros({sets}, DType::kFloat64, device), launch.steps = launch.gammas.clone(), launch.penalty = launch.gammas.clone();
    launch.zeros = Tensor::zeros({sets}, DType::kInt32, device);
    launch.task_penalty = Tensor::zeros({tasks}, DType::kFloat64, device), launch.task_zeros = Tensor::zeros({tasks}, DType::kInt32, device);
    launch.norms = Tensor::zeros({layout.groups}, DType::kFloat32, device), launch.ticket = Tensor::zeros({1}, DType::kInt32, device);
    launches_.push_back(std::move(launch));
  }
}

kernels::GroupTable FusedProx::Launch::table() {
  return {.tasks = as<kernels::GroupTask>(tasks),
          .parts = as<kernels::GroupPart>(parts),
          .first_task = as<int>(first_task),
          .gammas = gammas.data<double>(),
          .steps = steps.data<double>(),
          .task_count = static_cast<int>(task_zeros.size()),
          .set_count = static_cast<int>(sets.size()),
          .norms = norms.mutable_data(),
          .penalty = penalty.mutable_data<double>(),
          .zeros = zeros.mutable_data<std::int32_t>(),
          .task_penalty = task_penalty.mutable_data<double>(),
          .task_zeros = task_zeros.mutable_data<std::int32_t>(),
          .ticket = reinterpret_cast<unsigned*>(ticket.mutable_data<std::int32_t>())};
}

void FusedProx::send(const std::vector<double>& gammas, const std::vector<double>& steps) {
  for (Launch& launch : launches_) {
    const auto count = static_cast<std::int64_t>(launch.sets.size());
    Tensor own_gammas = Tensor::empty({count}, DType::kFloat64), own_steps = Tensor::empty({count}, DType::kFloat64);
    for (std::size_t i = 0; i < launch.sets.size(); ++i) {
      own_gammas.mutable_data<double>()[i] = gammas.at(launch.sets[i]);
      own_steps.mutable_data<double>()[i] = steps.at(launch.sets[i]);
    }
    launch.gammas.copy_from(own_gammas), launch.steps.copy_from(own_steps);
  }
}

void FusedProx::queue(const Regularizer& regularizer) {
  for (Launch& launch : launches_) regularizer.group_prox(launch.table(), stream_.native());
}

double FusedProx::penalty() const {
  double sum = 0.0;
  for (const Launch& launch : launches_) {
    const Tensor here = launch.penalty.to(Device{});
    for (const double value : here.values<double>()) sum += value;
  }
  return sum;
}

}  // namespace hinge::compress
