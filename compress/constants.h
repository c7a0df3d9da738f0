// What removed channels leave behind: constants.
//
// A channel whose filters are zero is the same number everywhere: its bias, then what BatchNorm and ReLU make of it.
// Dropping it would change the function, so surgery adds it to what reads the channel (y_k += sum_c w_kc const_c):
//   into the reader's bias, or the running mean of the BatchNorm that alone reads the reader, where every output pixel
//   sees all of the channel (1x1 or unpadded windows, linear layers);
//   through a **carrier** elsewhere: behind zero padding the sum differs at the border, exactly as a convolution of a
//   constant picture does, so one removed channel stays, and the others' weights are added to its own, scaled by the
//   ratio of the constants.
// Inference arithmetic (running statistics), in double precision.
#pragma once

#include <limits>
#include <vector>

#include "compress/channels.h"
#include "engine/nn/network.h"

namespace hinge::compress {

inline constexpr double kVaries = std::numeric_limits<double>::quiet_NaN();

// [node][channel]: the value of every channel that is a constant for any image, kVaries for all others. Only channels
// whose unit is marked in `removed` are looked at.
std::vector<std::vector<double>> constant_channels(const Network& network, const ChannelUnits& units, const std::vector<bool>& removed);

// One removed channel's constant at one reader that can't take it into a bias.
struct Stranded {
  int reader = 0;   // node
  int channel = 0;  // of the reader's input
  int unit = 0;
  double constant = 0.0;
};
// The removed channels with a constant other than 0 that only a carrier can hand on, and whose weights aren't zero.
// Throws Error naming channel and reader where a removed channel varies: it can't be removed exactly.
std::vector<Stranded> stranded_constants(const Network& network, const ChannelUnits& units, const std::vector<bool>& removed);

// The fewest units (greedily) such that each reader in `stranded` has one with a constant other than 0.
std::vector<int> choose_carriers(const std::vector<Stranded>& stranded);

// Moves the constants of removed channels into biases, running means and carriers. `network` is changed in place and
// computes the same; afterwards the removed channels' weights in every reader are zero, carriers' aside.
void fold_constants(Network& network, const ChannelUnits& units, const std::vector<bool>& removed, const std::vector<int>& carriers);

}  // namespace hinge::compress
