// Proximal gradient descent: an optimiser that runs another one and then the proximal step on groups.
//
//   theta <- nested step(theta);      A_l <- prox_{tau_l R}(A_l),   tau_l = rate_l * lambda * gamma_l
//
// rate_l is the rate at which A_l itself was updated. Li et al., CVPR 2020, section 4; Parikh & Boyd, "Proximal
// algorithms", 2014, section 4.2. Sets are stepped one after the other: where rows and columns of one matrix are both
// penalised, that is the paper's sequential step, not the proximal operator of the sum; `exact_overlap` takes that one.
//
// The two alternatives that the paper's program offers:
//   accelerated   v <- prox(theta_sgd) - A_before + mu v;  A <- prox(theta_sgd) + mu v   (Huang & Wang, ECCV 2018, eq. 13-15)
//   subgradient   g <- g + lambda gamma rho'(n) a / n before the nested step; nothing becomes exactly zero
#pragma once

#include <memory>

#include "compress/fused_prox.h"
#include "compress/regularizer.h"
#include "compress/selection.h"
#include "engine/optim/optimizer.h"

namespace hinge::compress {

// A set of groups in a network's weights, and its weight in the penalty.
struct PenalisedSet {
  std::vector<kernels::GroupView> parts;
  std::vector<Parameter*> parameters;  // one per part; all learn at the same rate
  double gamma = 1.0;
};
std::vector<PenalisedSet> penalised_sets(Network& network, const Structure& structure);

// A group whose norm is below this share of its layer's mean carries at most a percent of a mean group's energy: it is
// as good as gone.
inline constexpr double kGone = 0.1;

// The mean norm of each set's groups now, those left out that are below kGone of the mean of all: where many groups
// have vanished, the others are measured by each other. With gamma_l set to it, layers are balanced. A set whose groups
// are all zero has mean 0.
std::vector<double> mean_norms(const std::vector<PenalisedSet>& sets, const Stream& stream);

// Norms of all groups now, divided by gamma (1 where gamma is 0): scores[set][group].
Scores group_scores(const std::vector<PenalisedSet>& sets, const Stream& stream);

enum class SparsityMethod { kProximal,
                            kAccelerated,
                            kSubgradient };
// "pg", "apg", "sgd"; throws UsageError.
SparsityMethod sparsity_method_of(const std::string& name);

struct ProximalOptions {
  SparsityMethod method = SparsityMethod::kProximal;
  int every = 1;               // the proximal step is taken every so many steps, with `every` times the step length
  double momentum = 0.9;       // mu of the accelerated form
  bool exact_overlap = false;  // rows and columns of one matrix: the proximal operator of both penalties (row_column.h)
};

class ProximalOptimizer final : public Optimizer {
 public:
  ProximalOptimizer(std::unique_ptr<Optimizer> nested, std::unique_ptr<Regularizer> regularizer, std::vector<PenalisedSet> sets,
                    const ProximalOptions& options = {});

  void set_lambda(double lambda) { lambda_ = lambda; }
  double lambda() const { return lambda_; }
  const std::vector<PenalisedSet>& sets() const { return sets_; }
  // New weights of the sets, in the order of sets().
  void set_gammas(const std::vector<double>& gammas);

  void step(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, float rate,
            const Stream& stream) override;
  // The nested optimiser's, "apg/<parameter>" (the accelerated form's v) and the count of steps.
  std::map<std::string, Tensor> state() const override;
  void restore(const std::map<std::string, Tensor>& state) override;

  // Penalty sum_l gamma_l R(A_l) before the last proximal step.
  double penalty() const { return fused_ ? fused_->penalty() : penalty_; }

 private:
  double step_length(const PenalisedSet& set, float rate) const;
  void prox(float rate, const Stream& stream);
  void prox_on_cpu(float rate);
  void prox_on_device(float rate, const Stream& stream);
  void accelerate(const std::map<Parameter*, Tensor>& before);
  std::vector<Tensor> with_subgradients(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, const Stream& stream);

  std::unique_ptr<Optimizer> nested_;
  std::unique_ptr<Regularizer> regularizer_;
  std::vector<PenalisedSet> sets_;
  ProximalOptions options_;
  std::vector<int> wave_of_set_;                 // the sets of a wave share no parameter and are stepped side by side (launch_of_sets)
  std::map<std::size_t, std::size_t> overlaps_;  // rows set -> the columns set of the same matrix, taken together
  double lambda_ = 0.0;
  double penalty_ = 0.0;
  std::int64_t steps_ = 0;
  std::unique_ptr<FusedProx> fused_;        // on a GPU, from the first step on
  std::map<std::string, Tensor> velocity_;  // v of the accelerated form, by parameter
};

}  // namespace hinge::compress
