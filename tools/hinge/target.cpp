#include "tools/hinge/target.h"

#include <charconv>

#include "compress/budget.h"
#include "engine/core/names.h"

namespace hinge::cli {

double parse_flops_target(const std::vector<std::string>& target) {
  if (target.size() != 1) fail_usage("--target has {} parts, expected one such as flops=0.5", target.size());
  const std::string& text = target[0];
  const std::size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  if (name != "flops" || equals == std::string::npos) {
    fail_usage("--target {}: expected flops=SHARE, e.g. flops=0.5{}", text, did_you_mean(name, {"flops"}));
  }
  const std::string number = text.substr(equals + 1);
  double share = 0.0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), share);
  if (error != std::errc() || end != number.data() + number.size() || !(share > 0.0 && share <= 1.0)) {
    fail_usage("--target {}: '{}' is not a share above 0 and up to 1", text, number);
  }
  return share;
}

Count count_of(const std::string& name) {
  if (name == "macs") return Count::kMacs;
  if (name == "reference") return Count::kReference;
  fail_usage("--count {}: expected macs or reference", name);
}

void check_reachable(double target, const Graph& dense, const std::vector<std::string>& layers, Count count,
                     double minimum_share) {
  const std::vector<compress::FactorPair> pairs = compress::pairs_of(layers);
  std::vector<std::int64_t> ranks;
  for (const std::string& layer : layers) {
    const auto& conv = std::get<ConvAttributes>(dense.at(dense.find(layer)).attributes);
    ranks.push_back(std::min(conv.out, conv.in * conv.kernel_h * conv.kernel_w));
  }
  const compress::Budget budget(dense, compress::with_pairs(dense, pairs, ranks), pairs, count);
  const double least = compress::least_ratio(budget, ranks, minimum_share);
  if (target < least) {
    fail_usage("--target flops={}: can't be reached; this network can keep {:.4f} to 1 of its FLOPs with at least {:.0f} % "
               "of each layer's groups (--minimum-share)", target, least, 100.0 * minimum_share);
  }
}

}  // namespace hinge::cli
