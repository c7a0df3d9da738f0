#include "compress/selection.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/core/error.h"

namespace hinge::compress {

std::int64_t minimum_groups(std::int64_t groups, double minimum_share) {
  const auto least = static_cast<std::int64_t>(std::ceil(minimum_share * static_cast<double>(groups) - 1e-9));
  return std::clamp<std::int64_t>(least, 1, groups);
}

std::vector<int> same_ratio_leaders(const std::vector<GroupSet>& sets) {
  std::vector<int> leader(sets.size(), -1);
  for (std::size_t i = 0; i < sets.size(); ++i) {
    for (std::size_t j = 0; j < i && leader[i] < 0; ++j) {
      if (leader[j] < 0 && sets[j].kind == GroupSet::Kind::kRows && sets[i].kind == GroupSet::Kind::kRows &&
          sets[j].block == sets[i].block && !sets[i].block.empty() && sets[j].size() == sets[i].size()) {
        leader[i] = static_cast<int>(j);
      }
    }
  }
  return leader;
}

namespace {

// Group indices of one set, the highest score first; ties by index, so that the result is unique.
std::vector<int> by_score(const std::vector<double>& scores) {
  std::vector<int> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int a, int b) { return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)]; });
  return order;
}

// The channels that are left are the groups that stay and their carriers: the sum is what is rounded.
std::int64_t rounded(const SelectionOptions& options, std::size_t set, std::int64_t groups, std::int64_t count) {
  if (options.rounding.empty()) return count;
  const std::int64_t carriers = options.carriers.empty() ? 0 : options.carriers[set];
  const std::int64_t left = options.rounding[set][static_cast<std::size_t>(std::min(groups, count + carriers))];
  return left == groups ? groups : std::max(count, left - carriers);
}

std::vector<std::int64_t> counts_above(const Scores& scores, double threshold, const SelectionOptions& options) {
  std::vector<std::int64_t> counts;
  for (std::size_t set = 0; set < scores.size(); ++set) {
    const auto groups = static_cast<std::int64_t>(scores[set].size());
    if (!options.leader.empty() && options.leader[set] >= 0) {
      counts.push_back(std::min(groups, counts[static_cast<std::size_t>(options.leader[set])]));
      continue;
    }
    const auto above = std::ranges::count_if(scores[set], [&](double score) { return score > threshold; });
    counts.push_back(rounded(options, set, groups, std::max<std::int64_t>(above, minimum_groups(groups, options.minimum_share))));
  }
  return counts;
}

Size size_with_carriers(const Budget& budget, std::vector<std::int64_t> counts, const SelectionOptions& options) {
  for (std::size_t set = 0; set < counts.size() && !options.carriers.empty(); ++set) {
    counts[set] = std::min(budget.groups(set), counts[set] + options.carriers[set]);
  }
  return budget.size(counts);
}

}  // namespace

Size size_above(const Budget& budget, const Scores& scores, double threshold, const SelectionOptions& options) {
  return size_with_carriers(budget, counts_above(scores, threshold, options), options);
}

Size least_size(const Budget& budget, const SelectionOptions& options) {
  Scores zero;
  for (std::size_t set = 0; set < budget.sets(); ++set) zero.emplace_back(static_cast<std::size_t>(budget.groups(set)), 0.0);
  return size_above(budget, zero, 0.0, options);
}

Selection select_groups(const Budget& budget, const Scores& scores, const Target& target, const SelectionOptions& options) {
  require(scores.size() == budget.sets(), "select_groups: scores of {} sets, expected {}", scores.size(), budget.sets());
  // Candidate thresholds: below every score (all groups that are not zero stay), and each score itself.
  std::vector<double> thresholds = {0.0};
  for (std::size_t set = 0; set < scores.size(); ++set) {
    require(static_cast<std::int64_t>(scores[set].size()) == budget.groups(set), "select_groups: {} scores for the {} groups of set {}",
            scores[set].size(), budget.groups(set), set);
    for (double score : scores[set]) {
      require(score >= 0.0, "select_groups: a score is {}, expected a norm", score);
      thresholds.push_back(score);
    }
  }
  std::ranges::sort(thresholds);
  thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());

  // The size falls as the threshold grows: bisect for the first at which the target is met.
  const auto first = std::partition_point(thresholds.begin(), thresholds.end(), [&](double threshold) {
    return !target.met_by(size_above(budget, scores, threshold, options), budget.dense());
  });
  Selection selection;
  selection.reaches_target = first != thresholds.end();
  selection.threshold = selection.reaches_target ? *first : thresholds.back();
  const std::vector<std::int64_t> counts = counts_above(scores, selection.threshold, options);
  selection.size = size_with_carriers(budget, counts, options);
  for (std::size_t set = 0; set < scores.size(); ++set) {
    std::vector<int> order = by_score(scores[set]);
    order.resize(static_cast<std::size_t>(counts[set]));
    std::ranges::sort(order);
    selection.kept.push_back(std::move(order));
  }
  return selection;
}

}  // namespace hinge::compress
