// What to remove, as data: no pointers, prints and reads as JSON, can be written by hand in a test.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "compress/budget.h"

namespace hinge::compress {

struct LayerEdit {
  enum class Form {
    kPair,    // a thin convolution followed by a 1x1 convolution
    kMerged,  // one convolution: the pair would cost as much or more, so nothing is removed
  };
  std::string layer;
  std::int64_t rows = 0;       // groups the layer had
  std::vector<int> kept_rows;  // ascending
  Form form = Form::kPair;

  bool operator==(const LayerEdit&) const = default;
};

struct CompressionPlan {
  std::vector<LayerEdit> edits;  // one per pair, in the network's order
  Cost before;                   // of the network before attaching
  Cost predicted_after;
  Count count = Count::kMacs;
  double target = 1.0;           // flops kept, at most
  double threshold = 0.0;        // of the scores

  double predicted_ratio() const;
  bool operator==(const CompressionPlan&) const = default;
};

// Decides, changes nothing: the exact threshold for `target` (choose_ranks) and the cheaper form per layer.
CompressionPlan make_plan(const Budget& budget, const std::vector<FactorPair>& pairs,
                          const std::vector<std::vector<double>>& scores, double target,
                          double minimum_share = kMinimumShare);

nlohmann::json plan_to_json(const CompressionPlan& plan);
// Throws Error on anything missing, of the wrong type or out of range.
CompressionPlan plan_from_json(const nlohmann::json& json);

}  // namespace hinge::compress
