// Seconds that a convolution takes on this machine, by how many of its channels are left.
//
// Measured on a grid of channel counts (an eighth, a quarter, ... of each extent; quarters where layers are large) and interpolated between. With filters in
// the lanes of a register 17 of them cost what 32 do: there the grid is in whole registers and a count costs what the
// next one does. Every point is measured once, on one block of images and one thread, in its fastest form.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "kernels/lanes.h"

namespace hinge {

class LayerTimes {
 public:
  using Spec = kernels::lanes::ConvSpec;
  explicit LayerTimes(kernels::lanes::Lanes lanes) : lanes_(lanes) {}

  // Of a block of images. `kept` is `full` with other c, k and tail, all at least 1 (tail: 0 if full.tail is 0) and at
  // most full's. A grouped convolution loses whole groups: its time is in proportion to its filters.
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
  std::string machine() const;

  kernels::lanes::Lanes lanes_;
  std::map<std::string, double> times_;
  std::size_t measured_ = 0;
};

// Of one convolution on one block: the fastest of some runs.
double measure_seconds(const kernels::lanes::Convolution& convolution, int images);

}  // namespace hinge
