#include "compress/plan.h"

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "compress/constants.h"
#include "compress/surgery.h"

namespace hinge::compress {
namespace {

using Json = nlohmann::json;
constexpr const char* kFormat = "hinge-plan-2";

Json size_to_json(const Size& size) {
  Json json = {{"parameters", size.cost.parameters}, {"macs", size.cost.macs}, {"operations", size.cost.operations}, {"bytes", size.bytes}};
  if (size.seconds > 0.0) json["seconds"] = size.seconds;
  return json;
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

const Json& list(const Json& object, const char* key) {
  const Json& value = member(object, key);
  require(value.is_array(), "plan: '{}' must be a list", key);
  return value;
}

Size size_from_json(const Json& json) {
  return {{whole(json, "parameters"), whole(json, "macs"), whole(json, "operations")}, whole(json, "bytes"), json.contains("seconds") ? number(json, "seconds") : 0.0};
}

std::vector<int> groups_from_json(const Json& object, const char* key, const SetEdit& edit) {
  std::vector<int> groups;
  for (const Json& group : list(object, key)) {
    require(group.is_number_integer() && group.get<std::int64_t>() >= 0 && group.get<std::int64_t>() < edit.groups &&
                (groups.empty() || group.get<std::int64_t>() > groups.back()),
            "plan: {}: '{}' holds {}, out of order or out of range of {} groups", edit.set, key, group.dump(), edit.groups);
    groups.push_back(group.get<int>());
  }
  return groups;
}

SetEdit set_from_json(const Json& json) {
  SetEdit edit;
  edit.set = text(json, "set");
  edit.groups = whole(json, "groups");
  constexpr std::int64_t kMost = 1 << 24;  // the most channels that a graph may have anywhere
  require(edit.groups <= kMost, "plan: {}: {} groups, at most {} are possible", edit.set, edit.groups, kMost);
  edit.kept = groups_from_json(json, "kept", edit);
  edit.carriers = groups_from_json(json, "carriers", edit);
  require(!edit.kept.empty(), "plan: {}: 'kept' is empty, expected at least one group", edit.set);
  for (int carrier : edit.carriers) {
    require(!std::ranges::binary_search(edit.kept, carrier), "plan: {}: group {} is kept and a carrier", edit.set, carrier);
  }
  return edit;
}

PairEdit pair_from_json(const Json& json) {
  PairEdit edit{.layer = text(json, "layer")};
  const std::string form = text(json, "form");
  require(form == "pair" || form == "merged", "plan: {}: form is '{}', expected 'pair' or 'merged'", edit.layer, form);
  edit.form = form == "pair" ? PairEdit::Form::kPair : PairEdit::Form::kMerged;
  return edit;
}

Target target_from_json(const Json& json) {
  Target target;
  const std::string count = text(json, "count");
  require(count == "macs" || count == "reference", "plan: count is '{}', expected 'macs' or 'reference'", count);
  target.count = count == "macs" ? Count::kMacs : Count::kReference;
  if (json.contains("flops")) target.flops = number(json, "flops");
  if (json.contains("parameters")) target.parameters = number(json, "parameters");
  if (json.contains("bytes")) target.bytes = whole(json, "bytes");
  if (json.contains("latency")) target.latency = number(json, "latency");
  if (json.contains("seconds")) target.seconds = number(json, "seconds");
  return target;
}

Json target_to_json(const Target& target) {
  Json json = {{"count", target.count == Count::kMacs ? "macs" : "reference"}};
  if (target.flops) json["flops"] = *target.flops;
  if (target.parameters) json["parameters"] = *target.parameters;
  if (target.bytes) json["bytes"] = *target.bytes;
  if (target.latency) json["latency"] = *target.latency;
  if (target.seconds) json["seconds"] = *target.seconds;
  return json;
}

// The carriers that exact removal needs, per set; groups by index.
std::vector<std::vector<int>> carriers_for(const Structure& structure, const Network& attached,
                                           const std::vector<std::vector<int>>& kept) {
  std::vector<std::vector<int>> result(structure.sets.size());
  const bool channels_go = std::ranges::any_of(structure.sets, [](const GroupSet& set) { return set.kind == GroupSet::Kind::kChannels; });
  if (!channels_go) return result;  // ranks leave nothing behind
  CompressionPlan draft;
  for (std::size_t s = 0; s < structure.sets.size(); ++s) {
    draft.sets.push_back({structure.sets[s].name, static_cast<std::int64_t>(structure.sets[s].size()), kept[s], {}});
  }
  Network masked = attached.clone();
  mask_groups(draft.sets, structure, masked);
  std::map<int, std::pair<std::size_t, int>> place;  // unit -> set, group
  for (std::size_t s = 0; s < structure.sets.size(); ++s) {
    for (std::size_t g = 0; g < structure.sets[s].size(); ++g) place[structure.sets[s].units[g]] = {s, static_cast<int>(g)};
  }
  const auto removed = removed_units(draft.sets, structure);
  for (int unit : choose_carriers(stranded_constants(masked, structure.units, removed))) {
    const auto [set, group] = place.at(unit);
    result[set].push_back(group);
  }
  for (auto& list : result) std::ranges::sort(list);
  return result;
}

CompressionPlan assemble(const Structure& structure, const Budget& budget, std::vector<std::vector<int>> kept,
                         const std::vector<std::vector<int>>& carriers, const Target& target, double threshold) {
  CompressionPlan plan{.sets = {}, .pairs = {}, .before = budget.dense(), .predicted_after = {}, .target = target, .threshold = threshold};
  std::vector<std::int64_t> counts;
  for (std::size_t s = 0; s < kept.size(); ++s) counts.push_back(static_cast<std::int64_t>(kept[s].size() + carriers[s].size()));
  const std::vector<bool> pays = budget.pairs_that_pay(counts);
  std::set<std::string> merged;
  for (std::size_t i = 0; i < structure.pairs.size(); ++i) {
    plan.pairs.push_back({structure.pairs[i].layer, pays[i] ? PairEdit::Form::kPair : PairEdit::Form::kMerged});
    if (!pays[i]) merged.insert(structure.pairs[i].layer);
  }
  for (std::size_t s = 0; s < kept.size(); ++s) {
    const GroupSet& set = structure.sets[s];
    if (set.kind == GroupSet::Kind::kRows && merged.contains(set.layer)) {
      kept[s].resize(set.size());  // the merged convolution costs the same whatever is kept
      std::iota(kept[s].begin(), kept[s].end(), 0);
      counts[s] = static_cast<std::int64_t>(set.size());
    }
    plan.sets.push_back({set.name, static_cast<std::int64_t>(set.size()), std::move(kept[s]), carriers[s]});
  }
  plan.predicted_after = budget.size(counts);
  return plan;
}

}  // namespace

std::vector<int> removed_groups(const SetEdit& edit) {
  std::vector<int> removed;
  for (int group = 0; group < static_cast<int>(edit.groups); ++group) {
    if (!std::ranges::binary_search(edit.kept, group)) removed.push_back(group);
  }
  return removed;
}

CompressionPlan make_plan(const Structure& structure, const Budget& budget, const Network& attached, const Scores& scores,
                          const Target& target, SelectionOptions selecting) {
  selecting.carriers.assign(structure.sets.size(), 0);
  // Carriers cost something, so they take part in the choice; their number is known only once the removed groups are.
  for (;;) {
    const Selection selection = select_groups(budget, scores, target, selecting);
    const auto carriers = carriers_for(structure, attached, selection.kept);
    bool enough = true;
    for (std::size_t s = 0; s < carriers.size(); ++s) {
      const auto needed = static_cast<std::int64_t>(carriers[s].size());
      if (needed > selecting.carriers[s]) selecting.carriers[s] = needed, enough = false;
    }
    if (enough) return assemble(structure, budget, selection.kept, carriers, target, selection.threshold);
  }
}

CompressionPlan plan_keeping(const Structure& structure, const Budget& budget, const Network& attached,
                             const std::vector<std::vector<int>>& kept, const Target& target) {
  return assemble(structure, budget, kept, carriers_for(structure, attached, kept), target, 0.0);
}

Scores scores_after(const CompressionPlan& plan, Scores scores) {
  require(scores.size() == plan.sets.size(), "plan: scores of {} sets for a plan of {}", scores.size(), plan.sets.size());
  for (std::size_t s = 0; s < scores.size(); ++s) {
    // A kept group that has died since stays ahead of those removed: a set at its minimum takes the dead ones in turn.
    for (double& score : scores[s]) score = std::max(score, std::numeric_limits<double>::denorm_min());
    for (int group : removed_groups(plan.sets[s])) scores[s][static_cast<std::size_t>(group)] = 0.0;
  }
  return scores;
}

Json plan_to_json(const CompressionPlan& plan) {
  Json sets = Json::array(), pairs = Json::array();
  for (const SetEdit& edit : plan.sets) {
    sets.push_back({{"set", edit.set}, {"groups", edit.groups}, {"kept", edit.kept}, {"carriers", edit.carriers}});
  }
  for (const PairEdit& edit : plan.pairs) {
    pairs.push_back({{"layer", edit.layer}, {"form", edit.form == PairEdit::Form::kPair ? "pair" : "merged"}});
  }
  return {{"format", kFormat},
          {"target", target_to_json(plan.target)},
          {"threshold", plan.threshold},
          {"before", size_to_json(plan.before)},
          {"predicted_after", size_to_json(plan.predicted_after)},
          {"sets", sets},
          {"pairs", pairs}};
}

CompressionPlan plan_from_json(const Json& json) {
  const std::string format = text(json, "format");
  require(format == kFormat, "plan: format is '{}', expected '{}'", format, kFormat);
  CompressionPlan plan;
  plan.target = target_from_json(member(json, "target"));
  plan.threshold = number(json, "threshold");
  plan.before = size_from_json(member(json, "before"));
  plan.predicted_after = size_from_json(member(json, "predicted_after"));
  for (const Json& edit : list(json, "sets")) plan.sets.push_back(set_from_json(edit));
  for (const Json& edit : list(json, "pairs")) plan.pairs.push_back(pair_from_json(edit));
  return plan;
}

void check_plan(const CompressionPlan& plan, const Structure& structure) {
  require(plan.sets.size() == structure.sets.size() && plan.pairs.size() == structure.pairs.size(),
          "plan: it edits {} sets and {} pairs, the network has {} and {}", plan.sets.size(), plan.pairs.size(),
          structure.sets.size(), structure.pairs.size());
  for (std::size_t i = 0; i < plan.sets.size(); ++i) {
    const GroupSet& set = structure.sets[i];
    require(plan.sets[i].set == set.name && plan.sets[i].groups == static_cast<std::int64_t>(set.size()),
            "plan: it edits '{}' with {} groups, the network has '{}' with {}", plan.sets[i].set, plan.sets[i].groups, set.name, set.size());
  }
  for (std::size_t i = 0; i < plan.pairs.size(); ++i) {
    require(plan.pairs[i].layer == structure.pairs[i].layer, "plan: it edits the pair of {}, the network has one for {}",
            plan.pairs[i].layer, structure.pairs[i].layer);
  }
}

}  // namespace hinge::compress
