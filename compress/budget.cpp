#include "compress/budget.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hinge::compress {

Budget::Budget(const Graph& dense, const Graph& attached, const std::vector<FactorPair>& pairs, Count count)
    : dense_(cost_of(dense)), rest_(cost_of(attached)), count_(count) {
  const std::vector<FeatureShape> shapes = infer_shapes(attached);
  for (const FactorPair& pair : pairs) {
    const int node = attached.find(pair.spatial);
    const auto& spatial = std::get<ConvAttributes>(attached.at(node).attributes);
    const auto& pointwise = std::get<ConvAttributes>(attached.at(attached.find(pair.pointwise)).attributes);
    const FeatureShape& shape = shapes[static_cast<std::size_t>(node)];
    Layer layer{.filter = spatial.in * spatial.kernel_h * spatial.kernel_w,
                .out = pointwise.out,
                .pixels = shape.h * shape.w,
                .bias = pointwise.bias,
                .dense = {}};
    const std::int64_t bias = layer.bias ? layer.out : 0;
    const std::int64_t macs = layer.filter * layer.out * layer.pixels;
    layer.dense = {layer.filter * layer.out + bias, macs, macs};
    const std::int64_t weights = spatial.out * (layer.filter + layer.out);
    rest_.parameters -= weights + bias;
    rest_.macs -= weights * layer.pixels;
    rest_.operations -= weights * layer.pixels;
    layers_.push_back(layer);
  }
}

bool Budget::pair_pays(std::size_t layer, std::int64_t rank) const {
  const Layer& l = layers_[layer];
  return rank * (l.filter + l.out) < l.filter * l.out;
}

Cost Budget::layer_cost(std::size_t layer, std::int64_t rank) const {
  const Layer& l = layers_[layer];
  if (!pair_pays(layer, rank)) return l.dense;
  const std::int64_t weights = rank * (l.filter + l.out);
  return {weights + (l.bias ? l.out : 0), weights * l.pixels, weights * l.pixels};
}

Cost Budget::total(std::span<const std::int64_t> ranks) const {
  Cost sum = rest_;
  for (std::size_t i = 0; i < layers_.size(); ++i) sum += layer_cost(i, ranks[i]);
  return sum;
}

double Budget::ratio(std::span<const std::int64_t> ranks) const {
  return static_cast<double>(flops_of(total(ranks), count_)) / static_cast<double>(flops_of(dense_, count_));
}

std::int64_t minimum_rank(std::int64_t rank, double minimum_share) {
  const auto least = static_cast<std::int64_t>(std::ceil(minimum_share * static_cast<double>(rank) - 1e-9));
  return std::clamp<std::int64_t>(least, 1, rank);
}

double least_ratio(const Budget& budget, const std::vector<std::int64_t>& ranks, double minimum_share) {
  std::vector<std::int64_t> least;
  for (std::int64_t rank : ranks) least.push_back(minimum_rank(rank, minimum_share));
  return budget.ratio(least);
}

namespace {

// Group indices of one layer, the highest score first; ties by index, so that the result is unique.
std::vector<int> by_score(const std::vector<double>& scores) {
  std::vector<int> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int a, int b) {
    return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
  });
  return order;
}

std::vector<std::int64_t> ranks_at(const std::vector<std::vector<double>>& scores, double threshold,
                                   double minimum_share) {
  std::vector<std::int64_t> ranks;
  for (const auto& layer : scores) {
    const auto above = std::ranges::count_if(layer, [&](double score) { return score > threshold; });
    ranks.push_back(std::max<std::int64_t>(above, minimum_rank(static_cast<std::int64_t>(layer.size()), minimum_share)));
  }
  return ranks;
}

}  // namespace

double ratio_above(const Budget& budget, const std::vector<std::vector<double>>& scores, double threshold,
                   double minimum_share) {
  return budget.ratio(ranks_at(scores, threshold, minimum_share));
}

RankChoice choose_ranks(const Budget& budget, const std::vector<std::vector<double>>& scores, double target,
                        double minimum_share) {
  require(scores.size() == budget.layers(), "choose_ranks: scores of {} layers, expected {}", scores.size(),
          budget.layers());
  // Candidate thresholds: below every score (all groups that are not zero stay), and each score itself.
  std::vector<double> thresholds = {0.0};
  for (const auto& layer : scores) {
    for (double score : layer) {
      require(score >= 0.0, "choose_ranks: a score is {}, expected a norm", score);
      thresholds.push_back(score);
    }
  }
  std::ranges::sort(thresholds);
  thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());

  // The ratio falls as the threshold grows: bisect for the first that is low enough.
  const auto low_enough = [&](double threshold) {
    return budget.ratio(ranks_at(scores, threshold, minimum_share)) <= target;
  };
  const auto first = std::partition_point(thresholds.begin(), thresholds.end(),
                                          [&](double threshold) { return !low_enough(threshold); });
  RankChoice choice;
  choice.reaches_target = first != thresholds.end();
  choice.threshold = choice.reaches_target ? *first : thresholds.back();
  choice.ranks = ranks_at(scores, choice.threshold, minimum_share);
  choice.ratio = budget.ratio(choice.ranks);
  for (std::size_t layer = 0; layer < scores.size(); ++layer) {
    std::vector<int> order = by_score(scores[layer]);
    order.resize(static_cast<std::size_t>(choice.ranks[layer]));
    std::ranges::sort(order);
    choice.kept.push_back(std::move(order));
  }
  return choice;
}

}  // namespace hinge::compress
