// What to remove, as data: no pointers, prints and reads as JSON, can be written by hand in a test.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "compress/selection.h"

namespace hinge::compress {

// What stays of one set of groups.
struct SetEdit {
  std::string set;            // GroupSet::name
  std::int64_t groups = 0;    // how many there were
  std::vector<int> kept;      // ascending
  std::vector<int> carriers;  // removed, but their channels stay to carry the constants of all that were removed

  bool operator==(const SetEdit&) const = default;
};
// In which form surgery leaves a convolution with a matrix A.
struct PairEdit {
  enum class Form {
    kPair,    // a thin convolution followed by a 1x1 convolution
    kMerged,  // one convolution: the pair would cost as much or more
  };
  std::string layer;
  Form form = Form::kPair;

  bool operator==(const PairEdit&) const = default;
};

struct CompressionPlan {
  std::vector<SetEdit> sets;     // one per set, in the structure's order
  std::vector<PairEdit> pairs;   // one per pair
  Size before, predicted_after;  // of the dense network; of the network that surgery makes
  Target target;
  double threshold = 0.0;  // of the scores

  double flops_ratio() const { return target.flops_ratio(predicted_after, before); }
  bool operator==(const CompressionPlan&) const = default;
};

// Decides, changes nothing: the exact threshold for `target`, the carriers that exact surgery on `attached` (with the
// removed groups masked) needs, and the cheaper form of each pair. `selecting.carriers` is filled in here.
CompressionPlan make_plan(const Structure& structure, const Budget& budget, const Network& attached, const Scores& scores,
                          const Target& target, SelectionOptions selecting = {});

// The plan that keeps exactly these groups of every set.
CompressionPlan plan_keeping(const Structure& structure, const Budget& budget, const Network& attached,
                             const std::vector<std::vector<int>>& kept, const Target& target);

// The scores for a smaller target behind `plan`, which was made for a larger one: what the plan removed is worth nothing, and
// all that it kept more than that, so that the plans of a path are nested.
Scores scores_after(const CompressionPlan& plan, Scores scores);

nlohmann::json plan_to_json(const CompressionPlan& plan);
// Throws Error on anything missing, of the wrong type or out of range.
CompressionPlan plan_from_json(const nlohmann::json& json);

// Throws Error unless the plan is about these sets and pairs.
void check_plan(const CompressionPlan& plan, const Structure& structure);

// The groups of a set that the plan removes, carriers included.
std::vector<int> removed_groups(const SetEdit& edit);

}  // namespace hinge::compress
