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
// "layer1.0" of "layer1.0.conv1": layers of the same block balance each other's rates.
std::string block_of(const std::string& layer);

// `graph` with each of `layers` replaced by a pair of the given ranks; the bias moves to the pointwise half.
Graph with_pairs(const Graph& graph, const std::vector<FactorPair>& pairs, const std::vector<std::int64_t>& ranks);

struct Attached {
  Network network;
  std::vector<FactorPair> pairs;
};
// A pair in place of each of `layers`; with an exact initialisation W A = the trained filters to a relative error of
// 1e-5, and the network computes what it did. Each layer gets noise of its own.
Attached attach(const Network& network, const std::vector<std::string>& layers, Initialisation initialisation, const NoiseOptions& noise = {});

}  // namespace hinge::compress
