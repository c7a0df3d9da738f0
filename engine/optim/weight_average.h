// The exponential moving average of a network's values over the steps of training (Polyak & Juditsky, 1992; as an
// evaluation network: Tarvainen & Valpola, 2017):
//
//   average = d average + (1 - d) value,    d = min(decay, (1 + t) / (10 + t))    at update t = 0, 1, ...
//
// The smaller d at the start lets the first values, which are no good, go quickly. BatchNorm's running statistics are averaged
// like weights. On a GPU an update is one small launch per tensor, so one is made every kStepsBetween steps with the decay of as many.
#pragma once

#include <map>
#include <string>

#include "engine/core/device.h"
#include "engine/core/tensor.h"

namespace hinge {

class WeightAverage {
 public:
  static constexpr int kStepsBetween = 8;

  // decay : of one step, in (0, 1). The average starts as copies of `values`, where they lie.
  WeightAverage(double decay, const std::map<std::string, Tensor>& values);

  // After step `step` (1, 2, ...); does something every kStepsBetween steps. `values` as in the constructor.
  void after_step(std::int64_t step, const std::map<std::string, Tensor>& values, const Stream& stream);

  const std::map<std::string, Tensor>& values() const { return average_; }
  // Copies in; throws Error where names or shapes differ.
  void restore(const std::map<std::string, Tensor>& values);

 private:
  double decay_;
  std::map<std::string, Tensor> average_;
};

}  // namespace hinge
