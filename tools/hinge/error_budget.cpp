#include "tools/hinge/error_budget.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"

namespace hinge::cli {
namespace {

constexpr double kLargestStep = 0.85;
constexpr double kRounding = 1e-9;  // errors are multiples of 100 / images, with the rounding of a sum

}  // namespace

std::vector<double> ladder_to(double smallest) {
  require(smallest > 0.0 && smallest < 1.0, "ladder: the smallest share is {}, expected above 0 and below 1", smallest);
  const int steps = std::max(1, static_cast<int>(std::ceil(std::log(smallest) / std::log(kLargestStep) - kRounding)));
  std::vector<double> ladder;
  for (int i = 1; i < steps; ++i) {
    // To digits that make a folder's name.
    const double share = std::ceil(1e3 * std::pow(smallest, static_cast<double>(i) / steps)) / 1e3;
    if (share < 1.0 && share > smallest && (ladder.empty() || share < ladder.back())) ladder.push_back(share);
  }
  ladder.push_back(smallest);
  return ladder;
}

std::optional<int> ErrorBudget::next() const {
  if (beyond_ - within_ <= 1) return std::nullopt;
  return (within_ + beyond_) / 2;
}

void ErrorBudget::record(int network, double error) {
  const bool within = error - before_ <= increase_ + kRounding;  // false for NaN
  trials_.push_back({network, error, within});
  (within ? within_ : beyond_) = network;
}

std::optional<int> ErrorBudget::chosen() const { return within_ >= 0 ? std::optional(within_) : std::nullopt; }

int ErrorBudget::closest() const {
  return std::ranges::min_element(trials_, {}, [](const Trial& trial) { return trial.error; })->network;
}

nlohmann::json to_json(const ErrorBudget& budget, const std::vector<std::string>& names) {
  const auto name = [&](int network) { return names.at(static_cast<std::size_t>(network)); };
  nlohmann::json tried = nlohmann::json::array();
  for (const ErrorBudget::Trial& trial : budget.trials()) {
    tried.push_back({{"target", name(trial.network)}, {"held_out_error", trial.error}, {"increase", trial.error - budget.before()}, {"within", trial.within}});
  }
  const std::optional<int> chosen = budget.chosen();
  return {{"max_error_increase", budget.increase()},
          {"held_out_error_before", budget.before()},
          {"candidates", names},
          {"tried", tried},
          {"chosen", chosen ? nlohmann::json(name(*chosen)) : nlohmann::json()}};
}

}  // namespace hinge::cli
