#include "compress/lambda_control.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace hinge::compress {
namespace {

constexpr double kHorizon = 1.0 / 3.0;
constexpr double kArrival = 0.95;  // the plan reaches the target here: the rest is slack
constexpr double kMinCorrection = 0.25, kMaxCorrection = 8.0;
constexpr double kMostPerLook = 0.25;
constexpr double kHighestScore = 0.95;  // groups near the mean and above never vanish by themselves

}  // namespace

double LambdaControl::planned_ratio(double progress) const {
  return 1.0 - (1.0 - options_.target) * std::clamp(progress / kArrival, 0.0, 1.0);
}

double LambdaControl::update(std::int64_t step, const Budget& budget,
                             const std::vector<std::vector<double>>& scores) {
  ratio_ = ratio_above(budget, scores, kGone, options_.minimum_share);
  const double progress = static_cast<double>(step) / static_cast<double>(options_.steps);
  const double behind = ratio_ - planned_ratio(progress);
  correction_ = std::clamp(correction_ * std::exp(options_.gain * behind), kMinCorrection, kMaxCorrection);

  const RankChoice ahead = choose_ranks(budget, scores, planned_ratio(progress + kHorizon), options_.minimum_share);
  const double shrinkage = -std::log1p(-std::min(ahead.threshold, kHighestScore));
  const double tau = correction_ * shrinkage / std::max(1.0, kHorizon * static_cast<double>(options_.steps));
  return std::clamp(tau, 0.0, kMostPerLook / static_cast<double>(options_.check_every)) / options_.rate;
}

nlohmann::json LambdaControl::state() const { return {{"correction", correction_}, {"ratio", ratio_}}; }

void LambdaControl::restore(const nlohmann::json& state) {
  correction_ = state.at("correction").get<double>();
  ratio_ = state.at("ratio").get<double>();
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
