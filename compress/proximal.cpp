#include "compress/proximal.h"

#include <cmath>
#include <numeric>

namespace hinge::compress {

std::vector<GroupSet> row_groups(Network& network, const std::vector<FactorPair>& pairs) {
  std::vector<GroupSet> sets;
  for (const FactorPair& pair : pairs) {
    Parameter& a = network.parameter(pair.pointwise + ".weight");
    sets.push_back({.parameter = &a,
                    .groups = a.value.dim(3),
                    .size = a.value.dim(0),
                    .group_stride = 1,
                    .element_stride = a.value.dim(3),
                    .gamma = 1.0});
  }
  return sets;
}

std::vector<double> mean_norms(const std::vector<GroupSet>& sets, const Stream& stream) {
  std::vector<double> means;
  for (const GroupSet& set : sets) {
    const std::vector<float> norms = group_norms(set.view(), stream);
    const double of_all = std::accumulate(norms.begin(), norms.end(), 0.0) / static_cast<double>(norms.size());
    double sum = 0.0;
    std::int64_t living = 0;
    for (float norm : norms) {
      if (static_cast<double>(norm) >= kGone * of_all) sum += static_cast<double>(norm), ++living;
    }
    means.push_back(sum / static_cast<double>(living));
    require(means.back() > 0.0, "{}: the mean of its group norms is {}, the layer can't be balanced",
            set.parameter->name, means.back());
  }
  return means;
}

double frobenius_norm(const Tensor& tensor) {
  double squares = 0.0;
  for (float value : tensor.values()) squares += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(squares);
}

void restore_scale(Network& network, const FactorPair& pair, double frobenius) {
  const Graph& graph = network.graph();
  const int node = graph.find(pair.pointwise);
  const auto readers = consumers_of(graph)[static_cast<std::size_t>(node)];
  const bool biased = std::get<ConvAttributes>(graph.at(node).attributes).bias;
  if (readers.size() != 1 || biased || graph.at(readers[0]).kind != OpKind::kBatchNorm) return;
  Tensor& a = network.parameter(pair.pointwise + ".weight").value;
  const double now = frobenius_norm(a);
  if (!(now > 0.0) || !(frobenius > 0.0)) return;
  const auto scale = [](Tensor& tensor, double factor) {
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      tensor.mutable_data()[i] = static_cast<float>(static_cast<double>(tensor.data()[i]) * factor);
    }
  };
  const std::string& norm = graph.at(readers[0]).name;
  const double factor = frobenius / now;
  scale(a, factor);
  scale(network.buffer(norm + ".running_mean").value, factor);
  scale(network.buffer(norm + ".running_var").value, factor * factor);
}

ProximalOptimizer::ProximalOptimizer(std::unique_ptr<Optimizer> nested, std::unique_ptr<Regularizer> regularizer,
                                     std::vector<GroupSet> sets)
    : nested_(std::move(nested)), regularizer_(std::move(regularizer)), sets_(std::move(sets)) {}

void ProximalOptimizer::set_gammas(const std::vector<double>& gammas) {
  require(gammas.size() == sets_.size(), "proximal: {} layer weights for {} layers", gammas.size(), sets_.size());
  for (std::size_t i = 0; i < gammas.size(); ++i) sets_[i].gamma = gammas[i];
}

void ProximalOptimizer::step(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, float rate,
                             const Stream& stream) {
  nested_->step(parameters, gradients, rate, stream);
  penalty_ = 0.0;
  for (const GroupSet& set : sets_) {
    const double step = static_cast<double>(rate) * static_cast<double>(set.parameter->rate_scale) * lambda_ * set.gamma;
    penalty_ += set.gamma * regularizer_->penalty(regularizer_->prox(set.view(), step, stream));
  }
}

std::vector<std::vector<double>> group_scores(const std::vector<GroupSet>& sets, const Stream& stream) {
  std::vector<std::vector<double>> scores;
  for (const GroupSet& set : sets) {
    std::vector<double> layer;
    for (float norm : group_norms(set.view(), stream)) layer.push_back(static_cast<double>(norm) / set.gamma);
    scores.push_back(std::move(layer));
  }
  return scores;
}

}  // namespace hinge::compress
