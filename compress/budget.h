// What a network of factor pairs costs at given ranks, without building it.
//
// Per output pixel a pair of rank r costs r (C R S + K) multiply-adds, the merged convolution C R S K. Surgery emits
// the cheaper one, so a layer's cost is the smaller of both: constant for large r, then linear.
#pragma once

#include <span>
#include <vector>

#include "compress/attach.h"
#include "engine/graph/cost.h"

namespace hinge::compress {

class Budget {
 public:
  // `dense` is the network before attaching, `attached` the one with the pairs.
  Budget(const Graph& dense, const Graph& attached, const std::vector<FactorPair>& pairs, Count count);

  const Cost& dense() const { return dense_; }
  Count count() const { return count_; }
  std::size_t layers() const { return layers_.size(); }
  // Of layer `layer` at rank `rank`, in the form that surgery would emit.
  Cost layer_cost(std::size_t layer, std::int64_t rank) const;
  bool pair_pays(std::size_t layer, std::int64_t rank) const;
  // Of the whole network.
  Cost total(std::span<const std::int64_t> ranks) const;
  // flops_of(total) / flops_of(dense)
  double ratio(std::span<const std::int64_t> ranks) const;

 private:
  struct Layer {
    std::int64_t filter = 0, out = 0, pixels = 0;  // C R S, K, P Q
    bool bias = false;
    Cost dense;
  };
  Cost dense_, rest_;  // rest_: everything but the pairs
  std::vector<Layer> layers_;
  Count count_;
};

// At least this share of a layer's groups stays (Li et al., CVPR 2020).
inline constexpr double kMinimumShare = 0.2;
std::int64_t minimum_rank(std::int64_t rank, double minimum_share = kMinimumShare);

struct RankChoice {
  double threshold = 0.0;                     // groups with a score above it stay
  std::vector<std::vector<int>> kept;         // per layer, ascending
  std::vector<std::int64_t> ranks;            // how many, per layer
  double ratio = 1.0;                         // flops kept
  bool reaches_target = false;                // ratio <= target
};

// The exact threshold: the smallest one whose ratio is at most `target`, found by bisection over the sorted scores.
// Keeping one more group (the one with the next score) would exceed the target, so the gap below it is less than
// that group's cost, except where several groups share a score. Each layer keeps at least `minimum_share` of its
// groups, its highest ones. scores[layer][group] >= 0.
RankChoice choose_ranks(const Budget& budget, const std::vector<std::vector<double>>& scores, double target,
                        double minimum_share = kMinimumShare);

// The ratio with the groups at or below `threshold` removed, each layer's minimum kept.
double ratio_above(const Budget& budget, const std::vector<std::vector<double>>& scores, double threshold,
                   double minimum_share = kMinimumShare);

// The ratio with every layer at its minimum: targets below it can't be reached.
double least_ratio(const Budget& budget, const std::vector<std::int64_t>& ranks, double minimum_share = kMinimumShare);

}  // namespace hinge::compress
