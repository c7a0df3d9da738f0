// The search stage: proximal gradient descent with the sparsity-inducing matrices attached, until enough groups are
// zero for the target.
#pragma once

#include "compress/lambda_control.h"
#include "compress/plan.h"
#include "compress/proximal.h"
#include "tools/hinge/trainer.h"

namespace hinge::cli {

struct SearchOptions {
  int epochs = 6;
  double lr = 0.1;           // of A
  double lr_ratio = 0.01;    // everything else learns at lr * lr_ratio
  double lambda = 0.0;       // 0: steered by the controller
  double anneal = 1.0, t1 = 0.0, t2 = 0.0;  // with a fixed lambda: divided by `anneal` below t1, again below t2
  std::string regularizer = "l1";
  std::string init = "svd2";
  bool no_balance = false, no_rate_adjustment = false;
  double minimum_share = compress::kMinimumShare;
  int check_every = 20;      // steps between looks at norms, FLOPs and lambda

  void declare(Flags& flags);
};

// Drives lambda, watches the FLOPs ratio, keeps the state before the last look so that an overshoot is rolled back.
class SearchHooks final : public TrainingHooks {
 public:
  SearchHooks(const SearchOptions& options, double target, std::int64_t steps, compress::Attached& attached,
              compress::ProximalOptimizer& optimizer, const compress::Budget& budget);

  void before_update(std::int64_t step, std::span<Parameter* const> parameters,
                     std::span<const Tensor> gradients) override;
  bool after_update(std::int64_t step, std::int64_t steps) override;
  std::string note() const override;
  nlohmann::json metrics() const override;
  void save(io::Checkpoint& checkpoint) const override;
  void restore(const io::Checkpoint& checkpoint) override;

  // The scores from which the plan is made; the network is rolled back first if the search went below the target by
  // more than a group.
  std::vector<std::vector<double>> final_scores();
  double target() const { return target_; }

 private:
  void look(std::int64_t step);
  void take_snapshot();
  void weigh_layers();
  void set_rates();

  SearchOptions options_;
  double target_;
  compress::Attached& attached_;
  compress::ProximalOptimizer& optimizer_;
  const compress::Budget& budget_;
  compress::LambdaControl control_;
  compress::LambdaAnnealing annealing_;
  std::map<std::string, compress::RateBalance> balance_;  // by block with two matrices
  std::vector<double> frobenius_;  // of each A at the start
  double ratio_ = 1.0;  // without the groups that are as good as gone
  std::map<std::string, Tensor> snapshot_;  // values at the last look that ended nothing
  Stream stream_;
};

}  // namespace hinge::cli
