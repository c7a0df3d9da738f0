#include "compress/lambda_control.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace hinge::compress {
namespace {

constexpr double kLongestHorizon = 1.0 / 3.0;
constexpr double kArrival = 0.95;  // the plan reaches the target here: the rest is slack
constexpr double kMinCorrection = 0.25, kMaxCorrection = 8.0;
constexpr double kMostPerLook = 0.25;
constexpr double kHighestScore = 0.95;  // groups near the mean and above never vanish by themselves

}  // namespace

double LambdaControl::planned_progress(double time) const { return std::clamp(time / kArrival, 0.0, 1.0); }

double LambdaControl::update(std::int64_t step, const Budget& budget, const Scores& scores) {
  size_ = size_above(budget, scores, kGone, options_.selection);
  progress_ = options_.target.progress(size_, budget.dense());
  const double time = static_cast<double>(step) / static_cast<double>(options_.steps);
  const double behind = planned_progress(time) - progress_;
  correction_ = std::clamp(correction_ * std::exp(options_.gain * behind), kMinCorrection, kMaxCorrection);

  // Near the end only what is left of the search is looked ahead, two looks at least.
  const double look = static_cast<double>(options_.check_every) / static_cast<double>(options_.steps);
  const double horizon = std::max(std::min(kLongestHorizon, 1.0 - time), 2.0 * look);
  const Target soon = options_.target.at(planned_progress(time + horizon), budget.dense());
  const Selection ahead = select_groups(budget, scores, soon, options_.selection);
  const double shrinkage = -std::log1p(-std::min(ahead.threshold, kHighestScore));
  const double tau = correction_ * shrinkage / std::max(1.0, horizon * static_cast<double>(options_.steps));
  return std::clamp(tau, 0.0, kMostPerLook / static_cast<double>(options_.check_every)) / options_.rate;
}

nlohmann::json LambdaControl::state() const {
  return {{"correction", correction_},
          {"progress", progress_},
          {"size", {size_.cost.parameters, size_.cost.macs, size_.cost.operations, size_.bytes}}};
}

void LambdaControl::restore(const nlohmann::json& state) {
  correction_ = state.at("correction").get<double>();
  progress_ = state.at("progress").get<double>();
  const auto size = state.at("size").get<std::vector<std::int64_t>>();
  size_ = {{size.at(0), size.at(1), size.at(2)}, size.at(3)};
}

double LambdaAnnealing::at(double penalty) const {
  if (penalty > t1) return lambda;
  return penalty > t2 ? lambda / factor : lambda / (factor * factor);
}

double RateBalance::update(double first, double second) {
  constexpr double kLeast = 5.0 / 9.0, kMost = 9.0 / 5.0, kPower = 1.35;
  if (first > 0.0 || second > 0.0) {
    const double fresh = second > 0.0 ? first / second : kMost;
    ratio_ = std::clamp(0.1 * ratio_ + 0.9 * std::clamp(fresh, 0.0, 1e6), kLeast, kMost);
  }
  return std::pow(ratio_, kPower);
}

}  // namespace hinge::compress
