// What each layer costs in time before and after compression, so that a report can say where the time went.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/nn/network.h"

namespace hinge::cli {

// A layer of the original with what became of it: both convolutions of a pair count as the one they came from.
struct LayerTiming {
  std::string layer;
  double before = 0.0, after = 0.0;  // ms per image
};
struct LayerTimings {
  std::int64_t batch = 0;
  std::string method;  // of the inference plans: "images" or "channels", on a GPU "library"
  std::vector<LayerTiming> layers;
};

// In calls of `batch` images on the device where both lie; medians of `rounds`, on the CPU with the two networks in turns.
// `compressed` was made from `original`: its layers have the same names, or those names with .0 and .1 behind them.
LayerTimings layer_timings(const Network& original, const Network& compressed, std::int64_t batch, int rounds = 7);

// {"batch", "method", "layers": [{"layer", "before", "after"}]}; null where there are none.
nlohmann::json to_json(const LayerTimings& timings);

}  // namespace hinge::cli
