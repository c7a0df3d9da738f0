// Proximal gradient descent: an optimiser that runs another one and then the proximal step on groups.
//
//   theta <- nested step(theta);      A_l <- prox_{tau_l R}(A_l),   tau_l = rate_l * lambda * gamma_l
//
// rate_l is the rate at which A_l itself was updated. Li et al., CVPR 2020, section 4; Parikh & Boyd, "Proximal
// algorithms", 2014, section 4.2. The groups of one matrix must not overlap.
#pragma once

#include <memory>

#include "compress/attach.h"
#include "compress/regularizer.h"
#include "engine/optim/optimizer.h"

namespace hinge::compress {

// The groups of one parameter and their weight in the penalty.
struct GroupSet {
  Parameter* parameter = nullptr;
  std::int64_t groups = 0, size = 0;
  std::int64_t group_stride = 0, element_stride = 0;
  double gamma = 1.0;

  kernels::GroupView view() const {
    return {parameter->value.mutable_data(), groups, size, group_stride, element_stride};
  }
};

// Rows of A of every pair: row i is the input channel i of the pointwise filters [K, 1, 1, rank].
std::vector<GroupSet> row_groups(Network& network, const std::vector<FactorPair>& pairs);
// A group whose norm is below this share of its layer's mean carries at most a percent of a mean group's energy: it is
// as good as gone.
inline constexpr double kGone = 0.1;

// The mean norm of each layer's groups now, those left out that are below kGone of the mean of all: where many groups
// have vanished, the others are measured by each other. With gamma_l set to it, layers are balanced.
std::vector<double> mean_norms(const std::vector<GroupSet>& sets, const Stream& stream);

// Undoes the loss of scale that shrinkage causes where it carries no information: if the 1x1 half of a pair is read by
// a BatchNorm alone, A is multiplied so that its Frobenius norm is `frobenius` again, and the BatchNorm's running
// statistics with it. The function stays as it is (up to BatchNorm's epsilon), but gradients, which grow as 1/|A|, do not
// run away: without this the effective learning rate of a search grows a hundredfold. Other pairs are left alone.
void restore_scale(Network& network, const FactorPair& pair, double frobenius);
double frobenius_norm(const Tensor& tensor);

class ProximalOptimizer final : public Optimizer {
 public:
  ProximalOptimizer(std::unique_ptr<Optimizer> nested, std::unique_ptr<Regularizer> regularizer,
                    std::vector<GroupSet> sets);

  void set_lambda(double lambda) { lambda_ = lambda; }
  double lambda() const { return lambda_; }
  const std::vector<GroupSet>& sets() const { return sets_; }
  // New weights of the layers, in the order of sets().
  void set_gammas(const std::vector<double>& gammas);

  void step(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, float rate,
            const Stream& stream) override;
  std::map<std::string, Tensor> state() const override { return nested_->state(); }
  void restore(const std::map<std::string, Tensor>& state) override { nested_->restore(state); }

  // Penalty sum_l gamma_l R(A_l) before the last proximal step.
  double penalty() const { return penalty_; }

 private:
  std::unique_ptr<Optimizer> nested_;
  std::unique_ptr<Regularizer> regularizer_;
  std::vector<GroupSet> sets_;
  double lambda_ = 0.0;
  double penalty_ = 0.0;
};

// Norms of all groups now, divided by gamma: scores[layer][group].
std::vector<std::vector<double>> group_scores(const std::vector<GroupSet>& sets, const Stream& stream);

}  // namespace hinge::compress
