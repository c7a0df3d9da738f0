// What a network would cost with some of its groups gone, without building it, and what a target asks of that cost.
//
// The cost follows from how many channels every node keeps. A pair of rank r reading c' channels and making n' costs
// r (c' R S + n') multiply-adds per output pixel, the merged convolution c' R S n': surgery emits the cheaper one.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compress/groups.h"
#include "engine/graph/cost.h"
#include "kernels/lanes.h"

namespace hinge::compress {

// The dense network, the one with matrices attached, and what may be removed from it.
struct Structure {
  Graph dense, attached;
  std::vector<FactorPair> pairs;
  ChannelUnits units;  // of `attached`
  std::vector<GroupSet> sets;
  GroupChoice choice;
};
// `ranks` of the pairs: those that attaching gives, min(C R S, K) for the SVDs and K for the identity.
Structure make_structure(const Graph& dense, const GroupOptions& options, const std::vector<std::int64_t>& ranks = {});

// Parameters (trainable), multiply-adds, operations; and bytes of all weights and running statistics as float32.
struct Size {
  Cost cost;
  std::int64_t bytes = 0;
  double seconds = 0.0;  // of a call, as a LayerClock predicts it; 0 without one
  // The prediction is none of what a network is.
  bool operator==(const Size& other) const { return cost == other.cost && bytes == other.bytes; }
};
Size size_of(const Graph& graph);

// What layers cost in time. Measured (compress/latency.h), or invented by a test.
class LayerClock {
 public:
  using Spec = kernels::lanes::ConvSpec;
  virtual ~LayerClock() = default;
  // `full` has all channels, `kept` those that are left: a convolution, a linear layer (one pixel) or a pair (tail > 0).
  virtual double convolution(const Spec& full, const Spec& kept) const = 0;
  // Of what is done to so many elements of feature maps beside convolutions.
  virtual double elements(double count) const = 0;
  // Will be asked about `full` with other c, k and tail where these vary: a clock that measures does it now.
  virtual void prepare(const Spec& /*full*/, bool /*c_varies*/, bool /*k_varies*/, bool /*tail_varies*/) const {}
};

class Budget {
 public:
  // With a clock, sizes have seconds, and a pair stays one if it takes less time than the merged convolution.
  explicit Budget(const Structure& structure, std::shared_ptr<const LayerClock> clock = nullptr);

  std::size_t sets() const { return set_sizes_.size(); }
  std::int64_t groups(std::size_t set) const { return set_sizes_[set]; }
  const Size& dense() const { return dense_; }
  // With kept[set] groups left in every set, in the forms that surgery would emit.
  Size size(std::span<const std::int64_t> kept) const;
  // With a clock: seconds of the layers that read or make the channels of `set`, with `kept` of its groups left and all of
  // the others.
  double seconds_with(std::size_t set, std::int64_t kept) const;
  // Channels that each group of the set is, where it is made.
  std::int64_t channels_per_group(std::size_t set) const { return shares_[set].front().channels; }
  // Of each pair of the structure: does it cost less than its merged convolution?
  std::vector<bool> pairs_that_pay(std::span<const std::int64_t> kept) const;

 private:
  struct Layer {  // a convolution, linear layer, BatchNorm or ReLU
    enum class Kind { kConv,
                      kLinear,
                      kNorm,
                      kRelu,
                      kPair } kind;
    int input = 0, node = 0, rank_node = -1;             // whose channels are read, made, and the pair's inner ones
    std::int64_t window = 1, pixels = 1, per_group = 0;  // per_group: input channels of each group if grouped
    bool bias = false, counted = true, owner = true;
    LayerClock::Spec spec = {};  // of a convolution, linear layer or pair (its k is the rank), with all channels
  };
  std::vector<std::int64_t> channels(std::span<const std::int64_t> kept) const;
  bool pays(const Layer& pair, const std::vector<std::int64_t>& channels) const;
  void prepare_clock() const;
  double seconds_of_layer(const Layer& layer, const std::vector<std::int64_t>& channels) const;
  double seconds_as(const Layer& pair, bool as_pair, const std::vector<std::int64_t>& channels) const;
  Size size_of_layer(const Layer& layer, const std::vector<std::int64_t>& channels) const;

  Size dense_;
  std::shared_ptr<const LayerClock> clock_;  // may be null
  std::vector<Layer> layers_;
  std::vector<std::size_t> pair_layers_;  // index into layers_ per pair
  std::vector<std::int64_t> full_channels_, set_sizes_;
  struct Share {
    int node;
    std::int64_t channels;
  };                                        // of one group
  std::vector<std::vector<Share>> shares_;  // per set
};

// What to keep at most: any conjunction of a share of the FLOPs, a share of the parameters, a size in bytes, a share of
// the time and a time in seconds; the last two need a budget with a clock.
struct Target {
  Count count = Count::kMacs;
  std::optional<double> flops, parameters;
  std::optional<std::int64_t> bytes;
  std::optional<double> latency, seconds;

  bool wants_time() const { return latency || seconds; }

  bool met_by(const Size& size, const Size& dense) const;
  // How far from dense (0) to the target (1) `size` has come, by the constraint that lags most.
  double progress(const Size& size, const Size& dense) const;
  // The target of somebody who is only `progress` of the way there.
  Target at(double progress, const Size& dense) const;
  double flops_ratio(const Size& size, const Size& dense) const;
  std::string to_string() const;  // "flops=0.5,params=0.6"
  bool operator==(const Target&) const = default;
};

}  // namespace hinge::compress
