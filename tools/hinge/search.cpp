#include "tools/hinge/search.h"

#include <cmath>
#include <numeric>

#include "engine/core/names.h"
#include "engine/train/diagnosis.h"

namespace hinge::cli {
namespace {

constexpr std::int64_t kFewestLooks = 100;  // of a search, however short: 10 left the control 10 % of the FLOPs late

// Sum of the norms of the rows of A in a gradient of A, [K, 1, 1, rank].
double sum_of_row_norms(const Tensor& gradient, const Stream& stream) {
  Tensor shared = gradient;
  const kernels::GroupView rows{.data = shared.mutable_data(), .groups = gradient.dim(3), .size = gradient.dim(0), .group_stride = 1, .element_stride = gradient.dim(3)};
  const std::vector<float> norms = compress::group_norms(std::span(&rows, 1), stream);
  return std::accumulate(norms.begin(), norms.end(), 0.0);
}

void put(io::Checkpoint& checkpoint, const std::string& prefix, const std::map<std::string, Tensor>& values) {
  for (const auto& [name, tensor] : values) checkpoint.tensors.emplace(prefix + name, tensor);
}

std::map<std::string, Tensor> take(const io::Checkpoint& checkpoint, const std::string& prefix) {
  std::map<std::string, Tensor> values;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (name.starts_with(prefix)) values.emplace(name.substr(prefix.size()), tensor);
  }
  return values;
}

}  // namespace

void SearchOptions::declare(Flags& flags) {
  flags.group("Search");
  flags.option("--mode", mode, "What may go: auto, decompose (ranks), prune (channels), mixed (channels inside blocks, ranks at their ends) or both");
  flags.flag("--residual", residual, "Also prune channels that several convolutions make together (residual streams)");
  flags.option("--search-epochs", epochs, "Epochs in which groups are driven to zero")->check(CLI::Range(1, 100000));
  flags.option("--search-lr", lr, "Learning rate of the sparsity-inducing matrices")->check(CLI::PositiveNumber);
  flags.option("--lr-ratio", lr_ratio, "Everything else learns at this share of it")->check(CLI::Range(0.0, 1.0));
  flags.option("--search-distill", distill, "Share of the uncompressed network's opinion in the search's loss")->check(CLI::Range(0.0, 1.0));
  flags.option("--lambda", lambda, "Fixed strength of the penalty (0: steered so that the target is met in time)")->check(CLI::NonNegativeNumber);
  flags.option("--anneal", anneal, "With --lambda: divide it by this below --t1, and again below --t2")->check(CLI::Range(1.0, 1e6));
  flags.option("--t1", t1, "Bound on the sum of group norms of the first matrix of a block");
  flags.option("--t2", t2, "");
  flags.option("--measure", measure, "What --t1 and --t2 bound: the mean over blocks, or the sum")->check(CLI::IsMember({"mean", "sum"}));
  flags.option("--regularizer", regularizer, "Penalty on the group norms");
  flags.option("--option", regularizer_options, "Its parameters, e.g. eps=0.01")->delimiter(',');
  flags.option("--optimizer", optimizer, "pg: proximal gradient; apg: accelerated; sgd: the penalty's subgradient");
  flags.option("--prox-every", prox_every, "Steps between proximal steps")->check(CLI::Range(1, 100000));
  flags.option("--overlap", overlap, "Rows and columns of one matrix (mode both): sequential, as the paper's program, or exact (convex penalties)")->check(CLI::IsMember({"sequential", "exact"}));
  flags.option("--init", init, fmt::format("How the matrices start: {}", fmt::join(compress::initialisation_names(), ", ")));
  flags.option("--init-noise", init_noise, "Scale of the disturbed identity's noise")->check(CLI::PositiveNumber);
  flags.option("--init-noise-kind", init_noise_kind, "normal or uniform")->check(CLI::IsMember({"normal", "uniform"}));
  flags.option("--init-noise-norm", init_noise_norm, "Which of the disturbed matrix keep norm 1: rows or columns")->check(CLI::IsMember({"rows", "columns"}));
  flags.flag("--no-balance", no_balance, "Don't weight layers by their mean group norm");
  flags.flag("--no-rate-adjustment", no_rate_adjustment, "Don't adjust rates by the gradients of a block's two matrices");
  flags.flag("--same-ratio", same_ratio, "Both matrices of a block keep the same number of groups");
  flags.option("--minimum-share", minimum_share, "At least this share of a layer's groups stays")->check(CLI::Range(0.0, 1.0));
  flags.option("--check-every", check_every, "Most steps between looks at norms, FLOPs and lambda; a search has 100 looks at least")->check(CLI::Range(1, 100000));
}

compress::RegularizerOptions SearchOptions::parsed_regularizer_options() const {
  return compress::parse_options(regularizer_options);
}

compress::NoiseOptions SearchOptions::noise(std::uint64_t seed) const {
  return {.scale = init_noise, .uniform = init_noise_kind == "uniform", .rows = init_noise_norm == "rows", .seed = seed};
}

compress::SelectionOptions SearchOptions::selection(const compress::Structure& structure) const {
  return {.minimum_share = minimum_share,
          .leader = same_ratio ? compress::same_ratio_leaders(structure.sets) : std::vector<int>{},
          .carriers = {},
          .rounding = {}};
}

SearchHooks::SearchHooks(const SearchOptions& options, std::vector<compress::Target> targets, std::int64_t steps,
                         const compress::Structure& structure, compress::SelectionOptions selection, Network& attached,
                         compress::ProximalOptimizer& optimizer, const compress::Budget& budget)
    : options_(options),
      targets_(std::move(targets)),
      structure_(structure),
      network_(attached),
      optimizer_(optimizer),
      budget_(budget),
      selection_(std::move(selection)),
      look_every_(std::clamp<std::int64_t>(steps / kFewestLooks, 1, options.check_every)),
      control_({.target = targets_.back(), .rate = options.lr, .steps = steps, .selection = selection_, .check_every = look_every_}),
      annealing_{.lambda = options.lambda, .factor = options.anneal, .t1 = options.t1, .t2 = options.t2},
      scale_(structure, attached),
      stream_(stream_of(attached.device())) {
  std::map<std::string, int> count;
  for (const auto& pair : structure.pairs) ++count[pair.block];
  for (const auto& [block, matrices] : count) {
    if (matrices == 2 && !options.no_rate_adjustment) balance_[block];
  }
  weigh_layers();
  set_rates();
  look(0);
}

// What is penalised learns at the full rate, everything else at lr_ratio; before_update adjusts a block's first matrix.
void SearchHooks::set_rates() {
  for (Parameter* parameter : network_.parameters()) parameter->rate_scale = static_cast<float>(options_.lr_ratio);
  for (const auto& set : optimizer_.sets()) {
    for (Parameter* parameter : set.parameters) parameter->rate_scale = 1.0f;
  }
}

void SearchHooks::before_update(std::int64_t, std::span<Parameter* const> parameters, std::span<const Tensor> gradients) {
  if (balance_.empty()) return;
  std::map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < parameters.size(); ++i) index[parameters[i]->name] = i;
  std::map<std::string, std::vector<const compress::FactorPair*>> blocks;
  for (const auto& pair : structure_.pairs) blocks[pair.block].push_back(&pair);
  for (auto& [block, balance] : balance_) {
    const auto& pairs = blocks[block];
    const auto norm = [&](const compress::FactorPair* pair) {
      return sum_of_row_norms(gradients[index.at(pair->pointwise + ".weight")], stream_);
    };
    const double divisor = balance.update(norm(pairs[0]), norm(pairs[1]));
    network_.parameter(pairs[0]->pointwise + ".weight").rate_scale = static_cast<float>(1.0 / divisor);
  }
}

// gamma: each set's mean group norm, or the network's for all of them.
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
    scale_.restore(network_);
    weigh_layers();
  }
  const compress::Scores scores = compress::group_scores(optimizer_.sets(), stream_);
  check(scores);
  steer(scores, control_.update(step, budget_, scores));
  note_arrivals(scores);
}

// Norms are looked at anyway; the weights are, where a norm says that they should be.
void SearchHooks::check(const compress::Scores& scores) const {
  for (std::size_t set = 0; set < scores.size(); ++set) {
    for (std::size_t group = 0; group < scores[set].size(); ++group) {
      if (std::isfinite(scores[set][group])) continue;
      require_finite(network_);  // a weight says more
      throw NotFiniteError({.what = "group norm", .name = optimizer_.sets()[set].parameters[0]->name, .index = {static_cast<std::int64_t>(group)}, .value = scores[set][group]});
    }
  }
}

void SearchHooks::steer(const compress::Scores& scores, double steered) {
  if (options_.lambda <= 0.0) return optimizer_.set_lambda(steered);
  double first_matrices = 0.0;
  std::map<std::string, bool> seen;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (std::exchange(seen[structure_.sets[i].block], true)) continue;
    const double unit = optimizer_.sets()[i].gamma > 0.0 ? optimizer_.sets()[i].gamma : 1.0;
    first_matrices += unit * std::accumulate(scores[i].begin(), scores[i].end(), 0.0);
  }
  const double blocks = options_.measure == "mean" ? static_cast<double>(seen.size()) : 1.0;
  optimizer_.set_lambda(annealing_.at(first_matrices / blocks));
}

void SearchHooks::note_arrivals(const compress::Scores& scores) {
  Arrival now{copy_of_values(), scores};
  for (const auto& [name, value] : now.values) require_finite(value, "weight", name);
  while (arrived_.size() < targets_.size()) {
    const compress::Target& target = targets_[arrived_.size()];
    if (!target.met_by(control_.size(), budget_.dense())) break;
    const bool overshot = target.met_by(compress::size_above(budget_, scores, 0.0, selection_), budget_.dense());
    arrived_.push_back(overshot && !last_look_.values.empty() ? last_look_ : now);
  }
  last_look_ = std::move(now);
}

bool SearchHooks::after_update(std::int64_t step, std::int64_t steps) {
  if (step % look_every_ != 0 && step != steps) return false;
  look(step);
  return arrived_.size() == targets_.size();
}

std::map<std::string, Tensor> SearchHooks::copy_of_values() const {
  std::map<std::string, Tensor> copy;
  for (const auto& [name, tensor] : network_.values()) copy.emplace(name, tensor.copy_on(Device{}));
  return copy;
}

std::vector<Arrival> SearchHooks::arrivals() {
  std::vector<Arrival> result = arrived_;
  while (result.size() < targets_.size()) result.push_back(last_look_);
  return result;
}

std::string SearchHooks::note() const {
  return fmt::format("FLOPs {:.1f} %  lambda {:.2e}", 100.0 * targets_.back().flops_ratio(control_.size(), budget_.dense()), optimizer_.lambda());
}

nlohmann::json SearchHooks::metrics() const {
  nlohmann::json norms = nlohmann::json::array();  // histograms of the scores: 20 bins over [0, 2), the last is open
  for (const auto& layer : last_look_.scores) {
    std::vector<int> bins(20, 0);
    for (double score : layer) ++bins[static_cast<std::size_t>(std::min(19.0, std::max(0.0, score * 10.0)))];
    norms.push_back(bins);
  }
  return {{"flops_ratio", targets_.back().flops_ratio(control_.size(), budget_.dense())},
          {"progress", control_.progress()},
          {"lambda", optimizer_.lambda()},
          {"penalty", optimizer_.penalty()},
          {"correction", control_.correction()},
          {"score_histograms", norms}};
}

void SearchHooks::save(io::Checkpoint& checkpoint) const {
  nlohmann::json balance = nlohmann::json::object();
  for (const auto& [block, value] : balance_) balance[block] = value.ratio();
  nlohmann::json gammas = nlohmann::json::array();
  for (const auto& set : optimizer_.sets()) gammas.push_back(set.gamma);
  nlohmann::json arrived = nlohmann::json::array();
  for (std::size_t i = 0; i < arrived_.size(); ++i) {
    arrived.push_back(arrived_[i].scores);
    put(checkpoint, fmt::format("arrival{}/", i), arrived_[i].values);
  }
  put(checkpoint, "look/", last_look_.values);
  checkpoint.state["search"] = {{"control", control_.state()}, {"lambda", optimizer_.lambda()}, {"balance", balance}, {"gamma", gammas}, {"scale", scale_.norms()}, {"arrived", arrived}, {"look", last_look_.scores}};
}

void SearchHooks::restore(const io::Checkpoint& checkpoint) {
  const nlohmann::json& state = checkpoint.state.at("search");
  control_.restore(state.at("control"));
  optimizer_.set_lambda(state.at("lambda").get<double>());
  for (auto& [block, value] : balance_) value.restore(state.at("balance").at(block).get<double>());
  optimizer_.set_gammas(state.at("gamma").get<std::vector<double>>());
  scale_.set_norms(state.at("scale").get<std::map<std::string, double>>());
  arrived_.clear();
  for (const auto& scores : state.at("arrived")) {
    arrived_.push_back({take(checkpoint, fmt::format("arrival{}/", arrived_.size())), scores.get<compress::Scores>()});
  }
  last_look_ = {take(checkpoint, "look/"), state.at("look").get<compress::Scores>()};
}

}  // namespace hinge::cli
