#include "compress/plan.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

namespace hinge::compress {
namespace {

using Json = nlohmann::json;
constexpr const char* kFormat = "hinge-plan-1";

Json cost_to_json(const Cost& cost) {
  return {{"parameters", cost.parameters}, {"macs", cost.macs}, {"operations", cost.operations}};
}

const Json& member(const Json& object, const char* key) {
  require(object.is_object() && object.contains(key), "plan: '{}' is missing", key);
  return object[key];
}

std::int64_t whole(const Json& object, const char* key) {
  const Json& value = member(object, key);
  require(value.is_number_integer() && value.get<std::int64_t>() >= 0, "plan: '{}' is {}, expected a whole number",
          key, value.dump());
  return value.get<std::int64_t>();
}

double number(const Json& object, const char* key) {
  const Json& value = member(object, key);
  require(value.is_number(), "plan: '{}' is {}, expected a number", key, value.dump());
  return value.get<double>();
}

std::string text(const Json& object, const char* key) {
  const Json& value = member(object, key);
  require(value.is_string(), "plan: '{}' is {}, expected a string", key, value.dump());
  return value.get<std::string>();
}

Cost cost_from_json(const Json& json) {
  return {whole(json, "parameters"), whole(json, "macs"), whole(json, "operations")};
}

LayerEdit edit_from_json(const Json& json) {
  LayerEdit edit;
  edit.layer = text(json, "layer");
  edit.rows = whole(json, "rows");
  const std::string form = text(json, "form");
  require(form == "pair" || form == "merged", "plan: {}: form is '{}', expected 'pair' or 'merged'", edit.layer, form);
  edit.form = form == "pair" ? LayerEdit::Form::kPair : LayerEdit::Form::kMerged;
  const Json& kept = member(json, "kept_rows");
  require(kept.is_array() && !kept.empty(), "plan: {}: 'kept_rows' must be a list of at least one row", edit.layer);
  for (const Json& row : kept) {
    require(row.is_number_integer() && row.get<std::int64_t>() >= 0 && row.get<std::int64_t>() < edit.rows &&
                (edit.kept_rows.empty() || row.get<std::int64_t>() > edit.kept_rows.back()),
            "plan: {}: row {} of {} is out of range or out of order", edit.layer, row.dump(), edit.rows);
    edit.kept_rows.push_back(row.get<int>());
  }
  return edit;
}

}  // namespace

double CompressionPlan::predicted_ratio() const {
  return static_cast<double>(flops_of(predicted_after, count)) / static_cast<double>(flops_of(before, count));
}

CompressionPlan make_plan(const Budget& budget, const std::vector<FactorPair>& pairs,
                          const std::vector<std::vector<double>>& scores, double target, double minimum_share) {
  const RankChoice choice = choose_ranks(budget, scores, target, minimum_share);
  CompressionPlan plan{.edits = {},
                       .before = budget.dense(),
                       .predicted_after = budget.total(choice.ranks),
                       .count = budget.count(),
                       .target = target,
                       .threshold = choice.threshold};
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    LayerEdit edit{.layer = pairs[i].layer, .rows = static_cast<std::int64_t>(scores[i].size()), .kept_rows = {}};
    if (budget.pair_pays(i, choice.ranks[i])) {
      edit.kept_rows = choice.kept[i];
    } else {
      edit.form = LayerEdit::Form::kMerged;
      edit.kept_rows.resize(scores[i].size());  // the merged convolution costs the same whatever is kept
      std::iota(edit.kept_rows.begin(), edit.kept_rows.end(), 0);
    }
    plan.edits.push_back(std::move(edit));
  }
  return plan;
}

Json plan_to_json(const CompressionPlan& plan) {
  Json edits = Json::array();
  for (const LayerEdit& edit : plan.edits) {
    edits.push_back({{"layer", edit.layer},
                     {"rows", edit.rows},
                     {"form", edit.form == LayerEdit::Form::kPair ? "pair" : "merged"},
                     {"kept_rows", edit.kept_rows}});
  }
  return {{"format", kFormat},
          {"count", plan.count == Count::kMacs ? "macs" : "reference"},
          {"target", plan.target},
          {"threshold", plan.threshold},
          {"before", cost_to_json(plan.before)},
          {"predicted_after", cost_to_json(plan.predicted_after)},
          {"edits", edits}};
}

CompressionPlan plan_from_json(const Json& json) {
  const std::string format = text(json, "format");
  require(format == kFormat, "plan: format is '{}', expected '{}'", format, kFormat);
  CompressionPlan plan;
  const std::string count = text(json, "count");
  require(count == "macs" || count == "reference", "plan: count is '{}', expected 'macs' or 'reference'", count);
  plan.count = count == "macs" ? Count::kMacs : Count::kReference;
  plan.target = number(json, "target");
  plan.threshold = number(json, "threshold");
  plan.before = cost_from_json(member(json, "before"));
  plan.predicted_after = cost_from_json(member(json, "predicted_after"));
  const Json& edits = member(json, "edits");
  require(edits.is_array(), "plan: 'edits' must be a list");
  for (const Json& edit : edits) plan.edits.push_back(edit_from_json(edit));
  return plan;
}

}  // namespace hinge::compress
