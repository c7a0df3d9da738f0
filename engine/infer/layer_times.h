// Seconds that a convolution takes here, by how many of its channels are left.
//
// Measured on a grid of channel counts (an eighth, a quarter, ... of each extent; quarters where layers are large) and interpolated
// between. Where channels come in units (layer_stopwatch.h) the grid is in whole units, and a count costs what the next whole
// number of them does. Every point is measured once.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/infer/layer_stopwatch.h"

namespace hinge {

class LayerTimes {
 public:
  using Spec = LayerStopwatch::Spec;
  explicit LayerTimes(std::unique_ptr<LayerStopwatch> stopwatch) : stopwatch_(std::move(stopwatch)) {}
  explicit LayerTimes(kernels::lanes::Lanes lanes) : LayerTimes(std::make_unique<LaneStopwatch>(lanes)) {}

  // Of what the stopwatch times: a block of images on the CPU, a call on a GPU. `kept` is `full` with other c, k and tail, all at
  // least 1 (tail: 0 if full.tail is 0) and at most full's. A grouped convolution loses whole groups: its time is in proportion to
  // its filters.
  double seconds(const Spec& full, const Spec& kept);
  // Measures all points of the grid where c, k and tail take every value (true) or stay what they are.
  void prepare(const Spec& full, bool c_varies, bool k_varies, bool tail_varies);

  std::size_t measured() const { return measured_; }  // points, by this object

  // {"machine": ..., "times": {...}}. What was measured on another machine, or by another build, is ignored.
  nlohmann::json to_json() const;
  void add_json(const nlohmann::json& json);

 private:
  std::vector<std::int64_t> levels(const Spec& layer, std::int64_t full, bool filters) const;
  double at(const Spec& spec);

  std::unique_ptr<LayerStopwatch> stopwatch_;
  std::map<std::string, double> times_;
  std::size_t measured_ = 0;
};

}  // namespace hinge
