#include "tools/hinge/group_report.h"

#include <algorithm>
#include <numeric>

#include "engine/core/error.h"
#include "engine/core/names.h"

namespace hinge::cli {

using compress::GroupSet;
using compress::SetEdit;

nlohmann::json group_report(const compress::Structure& structure, const compress::Budget& budget, const compress::CompressionPlan& plan,
                            const compress::Scores& norms, const compress::Scores& scores, double minimum_share) {
  std::map<std::string, bool> merged;
  for (const auto& edit : plan.pairs) merged[edit.layer] = edit.form == compress::PairEdit::Form::kMerged;
  std::vector<std::int64_t> counts;
  for (const SetEdit& edit : plan.sets) counts.push_back(static_cast<std::int64_t>(edit.kept.size() + edit.carriers.size()));
  nlohmann::json sets = nlohmann::json::array();
  for (std::size_t s = 0; s < plan.sets.size(); ++s) {
    const GroupSet& set = structure.sets[s];
    const SetEdit& edit = plan.sets[s];
    const bool rows = set.kind == GroupSet::Kind::kRows;
    std::vector<std::int64_t> fewer = counts;
    fewer[s] = std::max<std::int64_t>(1, fewer[s] - 1);
    const compress::Size now = budget.size(counts), then = budget.size(fewer);
    const std::int64_t minimum = compress::minimum_groups(edit.groups, minimum_share);
    const char* bound = rows && merged[set.layer]                                    ? "merged"
                        : static_cast<std::int64_t>(edit.kept.size()) == edit.groups ? "nothing removed"
                        : static_cast<std::int64_t>(edit.kept.size()) <= minimum     ? "minimum share"
                                                                                     : "threshold";
    sets.push_back({{"set", edit.set},
                    {"layer", set.layer},
                    {"kind", rows ? "rank" : "channels"},
                    {"norms", norms[s]},
                    {"scores", scores[s]},
                    {"kept", edit.kept},
                    {"carriers", edit.carriers},
                    {"minimum", minimum},
                    {"macs_per_group", now.cost.macs - then.cost.macs},
                    {"parameters_per_group", now.cost.parameters - then.cost.parameters},
                    {"form", !rows ? "channels" : merged[set.layer] ? "merged"
                                                                    : "pair"},
                    {"bound", bound}});
  }
  nlohmann::json refused = nlohmann::json::array();
  for (const auto& refusal : structure.choice.refused) refused.push_back({{"layer", refusal.layer}, {"reason", refusal.reason}});
  return {{"sets", sets}, {"refused", refused}, {"threshold", plan.threshold}};
}

namespace {

std::vector<std::string> lines_of(const nlohmann::json& set, double threshold) {
  const auto scores = set.at("scores").get<std::vector<double>>(), norms = set.at("norms").get<std::vector<double>>();
  const auto kept = set.at("kept").get<std::vector<int>>();
  const std::string kind = set.at("kind") == "rank" ? "ranks" : "channel groups", bound = set.at("bound");
  const char* verdict = bound == "merged" || bound == "nothing removed" ? "keep" : set.at("kind") == "rank" ? "decompose"
                                                                                                            : "prune";
  std::vector<std::string> lines = {fmt::format("{}: {}: {} of {} {} stay", set.at("set").get<std::string>(), verdict, kept.size(), scores.size(), kind)};
  if (bound == "merged") {
    lines.push_back("  the factor pair would cost as much as one convolution or more at its rank: merged, nothing is lost");
  } else if (bound == "nothing removed") {
    lines.push_back(fmt::format("  every score is above the threshold {:.4f}", threshold));
  } else if (bound == "minimum share") {
    lines.push_back(fmt::format("  more were below the threshold {:.4f}, but {} must stay (--minimum-share)", threshold, set.at("minimum").get<int>()));
  } else {
    lines.push_back(fmt::format("  those with a score above the threshold {:.4f} stay", threshold));
  }
  if (!set.at("carriers").empty()) {
    lines.push_back(fmt::format("  {} removed channel(s) stay to carry what the others left behind (a constant at the zero-padded border)", set.at("carriers").size()));
  }
  lines.push_back(fmt::format("  one group less would save {} multiply-adds and {} parameters", set.at("macs_per_group").get<std::int64_t>(),
                              set.at("parameters_per_group").get<std::int64_t>()));
  std::vector<int> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int a, int b) { return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)]; });
  lines.push_back("  group      norm    score  fate");
  for (int group : order) {
    lines.push_back(fmt::format("  {:>5}  {:>8.4g}  {:>7.4f}  {}", group, norms[static_cast<std::size_t>(group)], scores[static_cast<std::size_t>(group)],
                                std::ranges::binary_search(kept, group) ? "kept" : "removed"));
  }
  return lines;
}

}  // namespace

std::vector<std::string> explain_layer(const nlohmann::json& report, const std::string& layer) {
  std::vector<std::string> lines, known;
  for (const auto& set : report.at("sets")) {
    known.push_back(set.at("layer"));
    if (set.at("layer") != layer && set.at("set") != layer) continue;
    const auto more = lines_of(set, report.at("threshold").get<double>());
    lines.insert(lines.end(), more.begin(), more.end());
  }
  for (const auto& refusal : report.at("refused")) {
    known.push_back(refusal.at("layer"));
    if (refusal.at("layer") == layer) lines.push_back(fmt::format("{}: nothing was removed: {}", layer, refusal.at("reason").get<std::string>()));
  }
  known.erase(std::unique(known.begin(), known.end()), known.end());
  if (lines.empty()) fail_usage("unknown layer '{}' (known: {}){}", layer, fmt::join(known, ", "), did_you_mean(layer, known));
  return lines;
}

}  // namespace hinge::cli
