// Steers lambda so that the search meets a target at its end, whatever the network: nobody has to guess it.
//
// Behind a BatchNorm the scale of a whole matrix A carries no information: only the norms of its groups relative to each
// other do (scale.h keeps the scale where it was). The control works on scores s_g = n_g / mean of the layer's living
// norms now, and gamma_l follows that mean. One proximal step of group lasso with tau = rate * lambda then does
//   s <- (s - tau) / (1 - tau),   so   ds/dstep = -tau (1 - s)
// groups below the mean fall away from it, those above rise, and a group at s is gone after ln(1 / (1 - s)) / tau steps.
//
// The plan goes linearly from the dense network (0) to the target (1), by the constraint that lags most,
//   p*(t) = min(1, t / 0.95),     t in [0, 1] the progress of the search.
// Looking a horizon h = min(1/3, 1 - t) of the search ahead, the groups that must be gone by then are those with a score
// below T_h, the exact threshold for p*(t + h); were there no loss, lambda = ln(1 / (1 - T_h)) / (rate * steps of the
// horizon) would do it. As the end comes nearer the horizon shrinks and what is late is hurried: with a fixed horizon
// every search ended 3 to 20 % of the FLOPs short. The loss pulls back; a factor c corrects for it by integral control
// in the log domain,
//   c <- c exp(gain (p* - p)),     p = the progress without the groups whose score is below kGone.
// Between two looks no score falls by more than a quarter of the mean, so that a short search can't overshoot unseen.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "compress/proximal.h"
#include "compress/selection.h"

namespace hinge::compress {

class LambdaControl {
 public:
  struct Options {
    Target target;
    double rate = 0.1;       // of A
    std::int64_t steps = 1;  // of the whole search
    SelectionOptions selection;
    std::int64_t check_every = 20;  // steps between updates
    double gain = 0.1;              // per update
  };
  explicit LambdaControl(const Options& options) : options_(options) {}

  // Call every few dozen steps with the current scores; returns lambda until the next call.
  double update(std::int64_t step, const Budget& budget, const Scores& scores);

  double planned_progress(double time) const;
  double progress() const { return progress_; }  // at the last update, without the groups that are as good as gone
  const Size& size() const { return size_; }     // of the network without them
  double correction() const { return correction_; }

  nlohmann::json state() const;
  void restore(const nlohmann::json& state);

 private:
  Options options_;
  double correction_ = 1.0;
  double progress_ = 0.0;
  Size size_;
};

// Lambda as the paper's recipes set it (method.md, section 5): lambda while P > t1, lambda / f for t2 < P <= t1,
// lambda / f^2 below, with P the sum of group norms of the first matrix of each block: its mean over the blocks for basic
// ResNets, its sum over the network for the other families.
struct LambdaAnnealing {
  double lambda = 2e-4;
  double factor = 1.0;
  double t1 = 0.0, t2 = 0.0;
  double at(double penalty) const;
};

// The factor r^1.35 of the gradient-based rate adjustment: r = |grad A1| / |grad A2| over group norms, smoothed
// r <- 0.1 r + 0.9 r_new and clamped to [5/9, 9/5]; 0/0 leaves r as it is. The rates of A1 and of all other
// parameters are divided by it.
class RateBalance {
 public:
  // Sums of the group norms of the gradients of the first and the second matrix of a block.
  double update(double first, double second);
  double ratio() const { return ratio_; }
  void restore(double ratio) { ratio_ = ratio; }

 private:
  double ratio_ = 1.0;
};

}  // namespace hinge::compress
