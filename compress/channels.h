// Which channels of a network live or die together, derived from its graph alone.
//
// Every channel of every node belongs to a **unit**: the smallest set of channels that can only be removed together.
//   conv2d, linear      each output channel starts a unit of its own; input channels belong to whoever made them
//   conv2d in G groups  the C/G inputs and K/G outputs of a group are one unit (depthwise: one channel, one unit)
//   batch_norm, relu, pools, dropout    pass channels on
//   add                 channel c of both inputs is one unit
//   concat, shortcut_a  pass channels on at an offset; the zeros that shortcut_a adds start units of their own
//   flatten             the H W features of a channel are one unit
//   nodes that share weights            are one layer: their inputs and outputs are the same units
// The network's input and its outputs are pinned: they never go.
#pragma once

#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace hinge::compress {

struct ChannelUnits {
  std::vector<std::vector<int>> unit_of;  // [node][output channel] -> unit
  std::vector<int> pinned_by;             // [unit] -> node that keeps it (the input or an output), -1 if none does

  int count() const { return static_cast<int>(pinned_by.size()); }
  bool removable(int unit) const { return pinned_by[static_cast<std::size_t>(unit)] < 0; }
  const std::vector<int>& of(int node) const { return unit_of[static_cast<std::size_t>(node)]; }
};
// Linear in the number of channels (with an inverse-Ackermann factor). Throws Error where the graph is inconsistent.
ChannelUnits derive_units(const Graph& graph);

// Everything that touches one unit: who makes its channels, who reads them, who passes them on.
struct UnitMembers {
  struct Slot {
    int node = 0;
    int channel = 0;
    auto operator<=>(const Slot&) const = default;
  };
  std::vector<Slot> makers;   // output channels of ungrouped convolutions and linear layers
  std::vector<Slot> readers;  // input channels of ungrouped convolutions and linear layers
  std::vector<Slot> passers;  // output channels of everything else, grouped convolutions included
};
std::vector<UnitMembers> members_of(const Graph& graph, const ChannelUnits& units);

// True for a convolution that mixes all its input channels, and for a linear layer: what starts and ends units.
bool mixes_channels(const GraphNode& node);

// Why unit `unit` can't be removed, or which operations bind its channels together, in words:
//   "channel 3 of layer1.0.conv2 is added to channel 3 of relu1 by layer1.0.add"
std::string explain_unit(const Graph& graph, const ChannelUnits& units, int unit);

}  // namespace hinge::compress
