// What may be removed from a network, and whose norm decides: sets of groups, derived from the channel units.
//
// Which convolutions get a sparsity-inducing matrix A and which channels are penalised depends on the mode
// (Li et al., CVPR 2020, sections 3 and 4) and on what surrounds a convolution, never on the network's name:
//
//   kAuto       channels between 1x1 convolutions are pruned, the 1x1 convolutions playing A's part (bottlenecks,
//               ResNeXt's cardinality groups); every other convolution is decomposed (rows of A)
//   kDecompose  rows of A everywhere: low rank, no channel goes
//   kPrune      channels only: columns of A, or of the 1x1 convolutions around
//   kMixed      channels where one convolution makes them and one reads them, rows of A where a convolution's
//               output is added or concatenated (basic blocks, Wide ResNet)
//   kBoth       rows everywhere and, of the same A, columns where channels may go (VGG)
//
// The first convolution is left whole, and so is a 1x1 convolution that ends in an addition (shortcuts).
#pragma once

#include <string>
#include <vector>

#include "compress/attach.h"
#include "compress/channels.h"
#include "kernels/group_prox.h"

namespace hinge::compress {

enum class Mode { kAuto,
                  kDecompose,
                  kPrune,
                  kMixed,
                  kBoth };
// "auto", "decompose", "prune", "mixed", "both"; throws UsageError with the known ones.
Mode mode_of(const std::string& name);
std::string_view name_of(Mode mode);

struct GroupOptions {
  Mode mode = Mode::kAuto;
  std::vector<std::string> exclude;  // patterns of layers (fnmatch) that are left alone
  bool residual = false;             // also prune channels that several convolutions make (residual streams)
};

// A slice of a convolution's filters [K, R, S, C] for each group of a set.
struct Slice {
  enum class Side { kOut,
                    kIn };
  int node = 0;               // in the attached graph
  Side side = Side::kOut;     // output channels (filters) or input channels
  std::vector<int> channels;  // group-major: the same number for each group
  bool operator==(const Slice&) const = default;
};

// Groups that lie in the same place: group g is unit units[g], and its vector is its part of every slice.
struct GroupSet {
  enum class Kind { kRows,
                    kChannels };
  std::string name;   // "layer1.0.conv1" (its rank) or "layer1.0.conv1 columns", "layer1.0.conv1+layer1.0.conv3"
  std::string layer;  // the convolution of the dense network that makes the channels
  std::string block;  // "layer1.0"
  Kind kind = Kind::kRows;
  std::vector<int> units;
  std::vector<Slice> slices;
  std::size_t size() const { return units.size(); }
  bool operator==(const GroupSet&) const = default;
};

// What is decided on the dense graph, before any matrix is attached.
struct GroupChoice {
  std::vector<std::string> attach;    // layers that get a matrix A, in the graph's order
  std::vector<std::string> rows;      // of these: whose ranks are penalised
  std::vector<std::string> channels;  // layers whose output channels are penalised
  struct Refusal {
    std::string layer, reason;
  };
  std::vector<Refusal> refused;  // convolutions of which nothing is removed, and why
};
GroupChoice choose_groups(const Graph& dense, const GroupOptions& options);

// The sets on the graph with pairs attached, in the graph's order.
std::vector<GroupSet> group_sets(const Graph& attached, const ChannelUnits& units, const std::vector<FactorPair>& pairs,
                                 const GroupChoice& choice);

// The weights of a set's groups: parts with the same number of groups; ||group||^2 is the sum over parts.
std::vector<kernels::GroupView> views_of(const GroupSet& set, const Graph& attached, Network& network);

}  // namespace hinge::compress
