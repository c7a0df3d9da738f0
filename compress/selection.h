// The exact threshold for a target: which groups stay.
#pragma once

#include <vector>

#include "compress/align.h"
#include "compress/budget.h"

namespace hinge::compress {

// At least this share of a layer's groups stays (Li et al., CVPR 2020).
inline constexpr double kMinimumShare = 0.2;
std::int64_t minimum_groups(std::int64_t groups, double minimum_share = kMinimumShare);

using Scores = std::vector<std::vector<double>>;  // [set][group], at least 0

struct SelectionOptions {
  double minimum_share = kMinimumShare;
  // A set with a leader keeps as many groups as its leader does (the paper's "same ratio"); -1: none.
  std::vector<int> leader;
  // Groups that stay as carriers of constants although they are removed, where anything is removed from the set.
  std::vector<std::int64_t> carriers;
  Rounding rounding;  // of what stays of each set, carriers included; empty: none
};
// Sets of the same block with the same number of rank groups follow the first of them.
std::vector<int> same_ratio_leaders(const std::vector<GroupSet>& sets);

struct Selection {
  double threshold = 0.0;              // groups with a score above it stay
  std::vector<std::vector<int>> kept;  // per set, ascending
  Size size;                           // carriers included
  bool reaches_target = false;
};

// The exact threshold: the smallest one at which the target is met, found by bisection over the sorted scores. Keeping
// one more group (the one with the next score) would exceed the target, so it is met from below by less than that
// group's cost, except where several groups share a score or counts are rounded. Each set keeps its minimum, its highest groups.
Selection select_groups(const Budget& budget, const Scores& scores, const Target& target, const SelectionOptions& options);

// The size with the groups at or below `threshold` removed, each set's minimum kept.
Size size_above(const Budget& budget, const Scores& scores, double threshold, const SelectionOptions& options);

// The size with every set at its minimum: nothing below it can be reached.
Size least_size(const Budget& budget, const SelectionOptions& options);

}  // namespace hinge::compress
