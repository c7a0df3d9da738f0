#include "compress/align.h"

#include <algorithm>
#include <numeric>

#include "engine/core/error.h"

namespace hinge::compress {
namespace {

std::vector<std::int64_t> identity(std::int64_t groups) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(groups) + 1);
  std::iota(counts.begin(), counts.end(), 0);
  return counts;
}

// `seconds[n]` with n groups, n from 1.
std::vector<std::int64_t> rounded_by(const std::vector<double>& seconds) {
  const auto groups = static_cast<std::int64_t>(seconds.size()) - 1;
  std::vector<std::int64_t> counts = identity(groups);
  if (groups < 2) return counts;
  const auto at = [&](std::int64_t n) { return seconds[static_cast<std::size_t>(n)]; };
  const double average = (at(groups) - at(1)) / static_cast<double>(groups - 1);
  if (!(average > 0.0)) return counts;
  std::int64_t edge = groups;
  for (std::int64_t n = groups - 1; n >= 1; --n) {
    if (at(n + 1) - at(n) > kStep * average) edge = n;
    if (at(edge) - at(n) <= kFree * average * static_cast<double>(edge - n)) counts[static_cast<std::size_t>(n)] = edge;
  }
  for (std::size_t n = 1; n < counts.size(); ++n) counts[n] = std::max(counts[n], counts[n - 1]);
  return counts;
}

}  // namespace

Rounding rounded_to_multiples(const Budget& budget, std::int64_t channels) {
  require(channels >= 1, "alignment: multiples of {} channels, expected at least 1", channels);
  Rounding rounding;
  for (std::size_t set = 0; set < budget.sets(); ++set) {
    const std::int64_t groups = budget.groups(set), unit = channels / std::gcd(channels, budget.channels_per_group(set));
    std::vector<std::int64_t> counts = identity(groups);
    for (std::int64_t& count : counts) count = std::min(groups, (count + unit - 1) / unit * unit);
    rounding.push_back(std::move(counts));
  }
  return rounding;
}

Rounding rounded_where_free(const Budget& budget) {
  Rounding rounding;
  for (std::size_t set = 0; set < budget.sets(); ++set) {
    std::vector<double> seconds = {0.0};
    for (std::int64_t n = 1; n <= budget.groups(set); ++n) seconds.push_back(budget.seconds_with(set, n));
    rounding.push_back(rounded_by(seconds));
  }
  return rounding;
}

}  // namespace hinge::compress
