// Random networks made of adds, concatenations, grouped and depthwise convolutions, pools, shortcuts and linear layers:
// what a derivation that knows no network by name must handle.
#pragma once

#include "engine/nn/network.h"

namespace hinge::testing {

// A pure function of the seed. Pictures are 8x8x3; 4 to 14 operations; biases, several heads and shared weights appear.
Graph random_graph(std::uint64_t seed);

// Weights, BatchNorm statistics and shifts that are not the identity's.
Network random_network(const Graph& graph, std::uint64_t seed);

// Gives every BatchNorm the statistics of these pictures: activations are then of the size they have in a trained network.
void calibrate(Network& network, const Tensor& images);

}  // namespace hinge::testing
