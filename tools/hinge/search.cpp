#include "tools/hinge/search.h"

#include <numeric>

namespace hinge::cli {
namespace {

// Sum of the norms of the row groups of a gradient of A, [K, 1, 1, rank].
double sum_of_group_norms(const Tensor& gradient, const Stream& stream) {
  Tensor shared = gradient;
  const std::vector<float> norms = compress::group_norms(
      {.data = shared.mutable_data(), .groups = gradient.dim(3), .size = gradient.dim(0), .group_stride = 1,
       .element_stride = gradient.dim(3)},
      stream);
  return std::accumulate(norms.begin(), norms.end(), 0.0);
}

}  // namespace

void SearchOptions::declare(Flags& flags) {
  flags.group("Search");
  flags.option("--search-epochs", epochs, "Epochs in which groups are driven to zero")->check(CLI::Range(1, 100000));
  flags.option("--search-lr", lr, "Learning rate of the sparsity-inducing matrices")->check(CLI::PositiveNumber);
  flags.option("--lr-ratio", lr_ratio, "Everything else learns at this share of it")->check(CLI::Range(0.0, 1.0));
  flags.option("--lambda", lambda, "Fixed strength of the penalty (0: steered so that the target is met in time)")->check(CLI::NonNegativeNumber);
  flags.option("--anneal", anneal, "With --lambda: divide it by this below --t1, and again below --t2")->check(CLI::Range(1.0, 1e6));
  flags.option("--t1", t1, "Mean over blocks of the sum of group norms of the first matrix");
  flags.option("--t2", t2, "");
  flags.option("--regularizer", regularizer, "Penalty on the group norms");
  flags.option("--init", init, "How the matrices start: svd2, svd or identity");
  flags.flag("--no-balance", no_balance, "Don't weight layers by their mean group norm");
  flags.flag("--no-rate-adjustment", no_rate_adjustment, "Don't adjust rates by the gradients of a block's two matrices");
  flags.option("--minimum-share", minimum_share, "At least this share of a layer's groups stays")->check(CLI::Range(0.0, 1.0));
  flags.option("--check-every", check_every, "Steps between looks at norms and FLOPs")->check(CLI::Range(1, 100000));
}

SearchHooks::SearchHooks(const SearchOptions& options, double target, std::int64_t steps, compress::Attached& attached,
                         compress::ProximalOptimizer& optimizer, const compress::Budget& budget)
    : options_(options), target_(target), attached_(attached), optimizer_(optimizer), budget_(budget),
      control_({.target = target, .rate = options.lr, .steps = steps, .minimum_share = options.minimum_share, .check_every = options.check_every}),
      annealing_{.lambda = options.lambda, .factor = options.anneal, .t1 = options.t1, .t2 = options.t2} {
  std::map<std::string, int> count;
  for (const auto& pair : attached.pairs) ++count[pair.block];
  for (const auto& [block, matrices] : count) {
    if (matrices == 2 && !options.no_rate_adjustment) balance_[block];
  }
  for (Parameter* parameter : attached_.network.parameters()) parameter->rate_scale = static_cast<float>(options.lr_ratio);
  weigh_layers();
  set_rates();
  for (const auto& pair : attached.pairs) {
    frobenius_.push_back(compress::frobenius_norm(attached.network.parameter(pair.pointwise + ".weight").value));
  }
  look(0);
  take_snapshot();
}

// A learns at the full rate, everything else at lr_ratio; before_update adjusts a block's first matrix.
void SearchHooks::set_rates() {
  for (const auto& pair : attached_.pairs) attached_.network.parameter(pair.pointwise + ".weight").rate_scale = 1.0f;
}

void SearchHooks::before_update(std::int64_t, std::span<Parameter* const> parameters, std::span<const Tensor> gradients) {
  if (balance_.empty()) return;
  std::map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < parameters.size(); ++i) index[parameters[i]->name] = i;
  std::map<std::string, std::vector<const compress::FactorPair*>> blocks;
  for (const auto& pair : attached_.pairs) blocks[pair.block].push_back(&pair);
  for (auto& [block, balance] : balance_) {
    const auto& pairs = blocks[block];
    const auto norm = [&](const compress::FactorPair* pair) {
      return sum_of_group_norms(gradients[index.at(pair->pointwise + ".weight")], stream_);
    };
    const double divisor = balance.update(norm(pairs[0]), norm(pairs[1]));
    attached_.network.parameter(pairs[0]->pointwise + ".weight").rate_scale = static_cast<float>(1.0 / divisor);
  }
}

// gamma: each layer's mean group norm, or the network's for all of them.
void SearchHooks::weigh_layers() {
  std::vector<double> gammas = compress::mean_norms(optimizer_.sets(), stream_);
  if (options_.no_balance) {
    const double mean = std::accumulate(gammas.begin(), gammas.end(), 0.0) / static_cast<double>(gammas.size());
    gammas.assign(gammas.size(), mean);
  }
  optimizer_.set_gammas(gammas);
}

void SearchHooks::look(std::int64_t step) {
  if (options_.lambda <= 0.0) {  // a fixed lambda keeps scales and weights as the paper does
    for (std::size_t i = 0; i < attached_.pairs.size(); ++i) {
      compress::restore_scale(attached_.network, attached_.pairs[i], frobenius_[i]);
    }
    weigh_layers();
  }
  const auto scores = compress::group_scores(optimizer_.sets(), stream_);
  const double steered = control_.update(step, budget_, scores);
  ratio_ = control_.ratio();
  if (options_.lambda > 0.0) {
    double first_matrices = 0.0;
    std::map<std::string, bool> seen;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (std::exchange(seen[attached_.pairs[i].block], true)) continue;
      first_matrices += optimizer_.sets()[i].gamma * std::accumulate(scores[i].begin(), scores[i].end(), 0.0);
    }
    optimizer_.set_lambda(annealing_.at(first_matrices / static_cast<double>(seen.size())));
  } else {
    optimizer_.set_lambda(steered);
  }
}

bool SearchHooks::after_update(std::int64_t step, std::int64_t steps) {
  if (step % options_.check_every != 0 && step != steps) return false;
  look(step);
  if (ratio_ <= target_) return true;
  take_snapshot();
  return false;
}

void SearchHooks::take_snapshot() {
  snapshot_.clear();
  for (const auto& [name, tensor] : attached_.network.values()) snapshot_.emplace(name, tensor.clone());
}

std::vector<std::vector<double>> SearchHooks::final_scores() {
  auto scores = compress::group_scores(optimizer_.sets(), stream_);
  // Groups that are exactly zero can't be chosen again. If too many of them vanished since the last look, go back to
  // it: there the threshold can still be placed exactly.
  if (!snapshot_.empty() && compress::ratio_above(budget_, scores, 0.0, options_.minimum_share) < target_) {
    attached_.network.set_values(snapshot_);
    scores = compress::group_scores(optimizer_.sets(), stream_);
  }
  return scores;
}

std::string SearchHooks::note() const { return fmt::format("FLOPs {:.1f} %  lambda {:.2e}", 100.0 * ratio_, optimizer_.lambda()); }

nlohmann::json SearchHooks::metrics() const {
  return {{"flops_ratio", ratio_}, {"lambda", optimizer_.lambda()}, {"penalty", optimizer_.penalty()},
          {"correction", control_.correction()}};
}

void SearchHooks::save(io::Checkpoint& checkpoint) const {
  nlohmann::json balance = nlohmann::json::object();
  for (const auto& [block, value] : balance_) balance[block] = value.ratio();
  nlohmann::json gammas = nlohmann::json::array();
  for (const auto& set : optimizer_.sets()) gammas.push_back(set.gamma);
  checkpoint.state["search"] = {{"control", control_.state()}, {"lambda", optimizer_.lambda()}, {"ratio", ratio_},
                                {"balance", balance}, {"gamma", gammas}, {"frobenius", frobenius_}};
  for (const auto& [name, tensor] : snapshot_) checkpoint.tensors.emplace("snapshot/" + name, tensor);
}

void SearchHooks::restore(const io::Checkpoint& checkpoint) {
  const nlohmann::json& state = checkpoint.state.at("search");
  control_.restore(state.at("control"));
  optimizer_.set_lambda(state.at("lambda").get<double>());
  ratio_ = state.at("ratio").get<double>();
  for (auto& [block, value] : balance_) value.restore(state.at("balance").at(block).get<double>());
  optimizer_.set_gammas(state.at("gamma").get<std::vector<double>>());
  frobenius_ = state.at("frobenius").get<std::vector<double>>();
  snapshot_.clear();
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (name.starts_with("snapshot/")) snapshot_.emplace(name.substr(9), tensor);
  }
}

}  // namespace hinge::cli
