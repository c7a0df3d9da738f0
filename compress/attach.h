// Attaching sparsity-inducing matrices: which convolutions become pairs, and the network in which they are.
#pragma once

#include <string>
#include <vector>

#include "compress/factorize.h"
#include "engine/nn/network.h"

namespace hinge::compress {

// A convolution `layer` that was replaced by `spatial` (its window, rank filters) and `pointwise` (1x1, the matrix A).
struct FactorPair {
  std::string layer;      // "layer1.0.conv1"
  std::string spatial;    // "layer1.0.conv1.0"
  std::string pointwise;  // "layer1.0.conv1.1"
  std::string block;      // "layer1.0": pairs with the same block belong together

  bool operator==(const FactorPair&) const = default;
};
// The names that the pairs of these layers get.
std::vector<FactorPair> pairs_of(const std::vector<std::string>& layers);

// Convolutions a matrix can be attached to: a window larger than 1x1, one group, and not reading the network's input
// (the first convolution is cheap and the paper keeps it). In the graph's order.
std::vector<std::string> attachable_layers(const Graph& graph);

// `graph` with each of `layers` replaced by a pair of the given ranks; the bias moves to the pointwise half.
Graph with_pairs(const Graph& graph, const std::vector<FactorPair>& pairs, const std::vector<std::int64_t>& ranks);

struct Attached {
  Network network;
  std::vector<FactorPair> pairs;
};
// The same function with a pair in place of each of `layers`, W A = the trained filters to a relative error of 1e-5.
Attached attach(const Network& network, const std::vector<std::string>& layers, Initialisation initialisation);

// Rank of each pair in `graph`: the filters of its spatial half.
std::vector<std::int64_t> ranks_of(const Graph& graph, const std::vector<FactorPair>& pairs);

}  // namespace hinge::compress
