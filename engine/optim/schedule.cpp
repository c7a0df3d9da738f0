#include "engine/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/core/error.h"

namespace hinge {

double Schedule::at(double epoch) const {
  if (epoch < warmup_epochs) return rate * epoch / warmup_epochs;
  switch (kind) {
    case Kind::kConstant: return rate;
    case Kind::kStep: {
      const auto passed = std::count_if(milestones.begin(), milestones.end(),
                                        [&](double milestone) { return epoch >= milestone; });
      return rate * std::pow(factor, static_cast<double>(passed));
    }
    case Kind::kCosine: {
      const double span = std::max(epochs - warmup_epochs, 1e-12);
      const double progress = std::clamp((epoch - warmup_epochs) / span, 0.0, 1.0);
      return final_rate + (rate - final_rate) * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
    }
  }
  return rate;
}

Schedule::Kind schedule_kind_of(const std::string& name) {
  if (name == "constant") return Schedule::Kind::kConstant;
  if (name == "step") return Schedule::Kind::kStep;
  if (name == "cosine") return Schedule::Kind::kCosine;
  fail_usage("unknown schedule '{}' (known: constant, step, cosine)", name);
}

}  // namespace hinge
