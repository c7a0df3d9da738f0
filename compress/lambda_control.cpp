#include "compress/lambda_control.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace hinge::compress {
namespace {

constexpr double kHorizon = 1.0 / 8.0;
constexpr double kArrival = 0.95;  // the plan reaches the target here: the rest is slack
constexpr double kMinCorrection = 0.1, kMaxCorrection = 1000.0;

}  // namespace

double LambdaControl::planned_ratio(double progress) const {
  return 1.0 - (1.0 - options_.target) * std::clamp(progress / kArrival, 0.0, 1.0);
}

double LambdaControl::update(std::int64_t step, const Budget& budget,
                             const std::vector<std::vector<double>>& scores) {
  std::vector<std::int64_t> alive;
  for (const auto& layer : scores) {
    const auto nonzero = std::ranges::count_if(layer, [](double score) { return score > 0.0; });
    alive.push_back(std::max<std::int64_t>(
        nonzero, minimum_rank(static_cast<std::int64_t>(layer.size()), options_.minimum_share)));
  }
  ratio_ = budget.ratio(alive);
  const double progress = static_cast<double>(step) / static_cast<double>(options_.steps);
  const double behind = ratio_ - planned_ratio(progress);
  correction_ = std::clamp(correction_ * std::exp(options_.gain * behind), kMinCorrection, kMaxCorrection);

  const RankChoice ahead = choose_ranks(budget, scores, planned_ratio(progress + kHorizon), options_.minimum_share);
  const double horizon_steps = std::max(1.0, kHorizon * static_cast<double>(options_.steps));
  return correction_ * ahead.threshold / (options_.rate * horizon_steps);
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
