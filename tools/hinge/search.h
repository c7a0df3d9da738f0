// The search stage: proximal gradient descent with the sparsity-inducing matrices attached, until enough groups are
// zero for the target; with several targets, one search passes all of them.
#pragma once

#include <optional>

#include "compress/lambda_control.h"
#include "compress/plan.h"
#include "compress/proximal.h"
#include "compress/scale.h"
#include "tools/hinge/trainer.h"

namespace hinge::cli {

struct SearchOptions {
  int epochs = 6;
  double lr = 0.02;                         // of the penalised matrices
  double lr_ratio = 0.1;                    // everything else learns at lr * lr_ratio
  double lambda = 0.0;                      // 0: steered by the controller
  double anneal = 1.0, t1 = 0.0, t2 = 0.0;  // with a fixed lambda: divided by `anneal` below t1, again below t2
  std::string measure = "mean";             // what t1 and t2 are compared with: mean over blocks, or sum
  std::string regularizer = "l1";
  std::vector<std::string> regularizer_options;  // NAME=VALUE
  std::string init = "svd2";
  double init_noise = 0.01;  // of the disturbed identity
  std::string init_noise_kind = "normal", init_noise_norm = "rows";
  std::string mode = "auto";
  std::string optimizer = "pg";
  int prox_every = 1;
  std::string overlap = "sequential";  // rows and columns of one matrix: in turn, or both at once ("exact")
  bool no_balance = false, no_rate_adjustment = false, same_ratio = false, residual = false;
  double minimum_share = compress::kMinimumShare;
  int check_every = 20;  // most steps between looks at norms, FLOPs and lambda
  double distill = 0.0;  // share of the uncompressed network's opinion in the search's loss

  void declare(Flags& flags);
  compress::RegularizerOptions parsed_regularizer_options() const;
  compress::NoiseOptions noise(std::uint64_t seed) const;
  compress::SelectionOptions selection(const compress::Structure& structure) const;
};

// The network as it was when a target came within reach, and what its groups were worth then.
struct Arrival {
  std::map<std::string, Tensor> values;
  compress::Scores scores;
};

// Drives lambda, watches the size, and keeps for each target the state from which the exact threshold can be placed:
// groups that are exactly zero can't be chosen again, so an overshoot between two looks goes back to the earlier one.
class SearchHooks final : public TrainingHooks {
 public:
  // `targets` from the largest to the smallest; the search steers for the last.
  SearchHooks(const SearchOptions& options, std::vector<compress::Target> targets, std::int64_t steps,
              const compress::Structure& structure, compress::SelectionOptions selection, Network& attached,
              compress::ProximalOptimizer& optimizer, const compress::Budget& budget);

  bool looks_at_gradients() const override { return !balance_.empty(); }
  void before_update(std::int64_t step, std::span<Parameter* const> parameters,
                     std::span<const Tensor> gradients) override;
  bool after_update(std::int64_t step, std::int64_t steps) override;
  std::string note() const override;
  nlohmann::json metrics() const override;
  void save(io::Checkpoint& checkpoint) const override;
  void restore(const io::Checkpoint& checkpoint) override;

  // One per target, in their order. Targets that weren't reached by themselves get the network as it is at the end.
  std::vector<Arrival> arrivals();

 private:
  void set_rates();
  void weigh_layers();
  void look(std::int64_t step);
  void check(const compress::Scores& scores) const;
  void steer(const compress::Scores& scores, double steered);
  void note_arrivals(const compress::Scores& scores);
  std::map<std::string, Tensor> copy_of_values() const;

  SearchOptions options_;
  std::vector<compress::Target> targets_;
  const compress::Structure& structure_;
  Network& network_;
  compress::ProximalOptimizer& optimizer_;
  const compress::Budget& budget_;
  compress::SelectionOptions selection_;
  std::int64_t look_every_;
  compress::LambdaControl control_;
  compress::LambdaAnnealing annealing_;
  compress::ScaleKeeper scale_;
  std::map<std::string, compress::RateBalance> balance_;  // by block with two matrices
  std::vector<Arrival> arrived_;
  Arrival last_look_;
  Stream stream_;
};

}  // namespace hinge::cli
