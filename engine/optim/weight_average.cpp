#include "engine/optim/weight_average.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "kernels/elementwise.h"
#include "kernels/registry.h"

namespace hinge {

WeightAverage::WeightAverage(double decay, const std::map<std::string, Tensor>& values) : decay_(decay) {
  require(decay > 0.0 && decay < 1.0, "weight average: a decay of {}, expected between 0 and 1", decay);
  for (const auto& [name, value] : values) average_.emplace(name, value.clone());
}

void WeightAverage::after_step(std::int64_t step, const std::map<std::string, Tensor>& values, const Stream& stream) {
  if (step % kStepsBetween != 0) return;
  const auto update = static_cast<double>(step / kStepsBetween - 1);
  const double keep = std::min(std::pow(decay_, kStepsBetween), (1.0 + update) / (10.0 + update));
  for (auto& [name, average] : average_) {
    kernels::dispatch<kernels::Approach>(stream, average.size(), static_cast<float>(1.0 - keep), values.at(name).data(), average.mutable_data());
  }
}

void WeightAverage::restore(const std::map<std::string, Tensor>& values) {
  require(values.size() == average_.size(), "weight average: {} tensors to go on with, expected {}", values.size(), average_.size());
  for (auto& [name, average] : average_) {
    const auto found = values.find(name);
    require(found != values.end(), "weight average: no '{}' to go on with", name);
    require(found->second.shape() == average.shape(), "weight average: '{}' is {}, expected {}", name, found->second.shape(), average.shape());
    average = found->second.copy_on(average.device());
  }
}

}  // namespace hinge
