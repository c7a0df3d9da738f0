// What a network costs, counted from its graph.
//
//   macs       = multiply-adds of convolutions and linear layers
//   operations = macs + 2 per BatchNorm element + 1 per output element of each ReLU module: the count of the
//                reference program of Li et al. (CVPR 2020), in which the tables of the paper are
//   parameters = every trainable number (running statistics are none)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace hinge {

struct Cost {
  std::int64_t parameters = 0, macs = 0, operations = 0;

  Cost& operator+=(const Cost& other);
  bool operator==(const Cost&) const = default;
};

struct LayerCost {
  std::string name;
  OpKind kind;
  FeatureShape output;
  Cost cost;
};

// One entry per node, in the graph's order.
std::vector<LayerCost> layer_costs(const Graph& graph);
Cost cost_of(const Graph& graph);

// Which of the two counts a target is about.
enum class Count { kMacs,
                   kReference };
inline std::int64_t flops_of(const Cost& cost, Count count) {
  return count == Count::kMacs ? cost.macs : cost.operations;
}

}  // namespace hinge
