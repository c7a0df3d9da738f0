#include "compress/proximal.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compress/prox_sets.h"
#include "compress/row_column.h"
#include "engine/core/error.h"
#include "engine/core/finite.h"
#include "engine/core/names.h"

namespace hinge::compress {
namespace {

constexpr const char* kVelocityPrefix = "apg/";
constexpr const char* kStepsName = "proximal_steps";

// Are the groups of `b` the columns of the matrix whose rows are those of `a`?
bool is_transpose(const PenalisedSet& a, const PenalisedSet& b) {
  if (a.parts.size() != 1 || b.parts.size() != 1) return false;
  const kernels::GroupView &x = a.parts[0], &y = b.parts[0];
  return x.data == y.data && x.groups == y.size && x.size == y.groups && x.group_stride == y.element_stride &&
         x.element_stride == y.group_stride;
}

}  // namespace

std::vector<PenalisedSet> penalised_sets(Network& network, const Structure& structure) {
  std::vector<PenalisedSet> result;
  for (const GroupSet& set : structure.sets) {
    PenalisedSet penalised{.parts = views_of(set, structure.attached, network), .parameters = {}};
    for (const Slice& slice : set.slices) {
      Parameter& parameter = network.parameter(structure.attached.at(slice.node).name + ".weight");
      penalised.parameters.insert(penalised.parameters.end(), slice.channels.size() / set.size(), &parameter);
    }
    result.push_back(std::move(penalised));
  }
  return result;
}

std::vector<double> mean_norms(const std::vector<PenalisedSet>& sets, const Stream& stream) {
  std::vector<double> means;
  for (const PenalisedSet& set : sets) {
    const std::vector<float> norms = group_norms(set.parts, stream);
    for (std::size_t g = 0; g < norms.size(); ++g) {
      if (!std::isfinite(norms[g])) throw NotFiniteError({.what = "group norm", .name = set.parameters[0]->name, .index = {static_cast<std::int64_t>(g)}, .value = static_cast<double>(norms[g])});
    }
    const double of_all = std::accumulate(norms.begin(), norms.end(), 0.0) / static_cast<double>(norms.size());
    double sum = 0.0;
    std::int64_t living = 0;
    for (float norm : norms) {
      if (static_cast<double>(norm) >= kGone * of_all) sum += static_cast<double>(norm), ++living;
    }
    means.push_back(living > 0 ? sum / static_cast<double>(living) : 0.0);
    require_finite(means.back(), "mean group norm", set.parameters[0]->name);
  }
  return means;
}

Scores group_scores(const std::vector<PenalisedSet>& sets, const Stream& stream) {
  Scores scores;
  for (const PenalisedSet& set : sets) {
    std::vector<double> layer;
    const double unit = set.gamma > 0.0 ? set.gamma : 1.0;
    for (float norm : group_norms(set.parts, stream)) layer.push_back(static_cast<double>(norm) / unit);
    scores.push_back(std::move(layer));
  }
  return scores;
}

SparsityMethod sparsity_method_of(const std::string& name) {
  if (name == "pg") return SparsityMethod::kProximal;
  if (name == "apg") return SparsityMethod::kAccelerated;
  if (name == "sgd") return SparsityMethod::kSubgradient;
  fail_usage("unknown optimiser of the sparsity '{}' (known: pg, apg, sgd){}", name, did_you_mean(name, {"pg", "apg", "sgd"}));
}

ProximalOptimizer::ProximalOptimizer(std::unique_ptr<Optimizer> nested, std::unique_ptr<Regularizer> regularizer,
                                     std::vector<PenalisedSet> sets, const ProximalOptions& options)
    : nested_(std::move(nested)), regularizer_(std::move(regularizer)), sets_(std::move(sets)), options_(options) {
  std::vector<std::vector<const void*>> parameters;
  for (const PenalisedSet& set : sets_) parameters.emplace_back(set.parameters.begin(), set.parameters.end());
  wave_of_set_ = launch_of_sets(parameters);
  require(options_.every >= 1, "proximal: a step every {}, expected 1 or more", options_.every);
  for (std::size_t a = 0; a < sets_.size() && options_.exact_overlap; ++a) {
    for (std::size_t b = a + 1; b < sets_.size(); ++b) {
      if (is_transpose(sets_[a], sets_[b])) overlaps_[a] = b;
    }
  }
}

void ProximalOptimizer::set_gammas(const std::vector<double>& gammas) {
  require(gammas.size() == sets_.size(), "proximal: {} layer weights for {} layers", gammas.size(), sets_.size());
  for (std::size_t i = 0; i < gammas.size(); ++i) sets_[i].gamma = gammas[i];
}

double ProximalOptimizer::step_length(const PenalisedSet& set, float rate) const {
  return static_cast<double>(rate) * static_cast<double>(set.parameters[0]->rate_scale) * lambda_ * set.gamma;
}

void ProximalOptimizer::prox_on_device(float rate, const Stream& stream) {
  if (!fused_) {
    std::vector<std::vector<kernels::GroupView>> parts;
    for (const PenalisedSet& set : sets_) parts.push_back(set.parts);
    fused_ = std::make_unique<FusedProx>(parts, wave_of_set_, stream);
  }
  std::vector<double> gammas, steps;
  for (const PenalisedSet& set : sets_) gammas.push_back(set.gamma), steps.push_back(step_length(set, rate) * options_.every);
  fused_->step(*regularizer_, gammas, steps);
}

void ProximalOptimizer::prox_on_cpu(float rate) {
  std::vector<std::vector<float>> norms(sets_.size());
  std::size_t taken = 0;
  for (int wave = 0; taken < sets_.size(); ++wave) {
    std::vector<std::size_t> which;
    std::vector<SetStep> steps;
    for (std::size_t s = 0; s < sets_.size(); ++s) {
      if (wave_of_set_[s] == wave) which.push_back(s), steps.push_back({sets_[s].parts, step_length(sets_[s], rate) * options_.every});
    }
    std::vector<std::vector<float>> here = prox_sets(*regularizer_, steps);
    for (std::size_t i = 0; i < which.size(); ++i) norms[which[i]] = std::move(here[i]);
    taken += which.size();
  }
  penalty_ = 0.0;
  for (std::size_t s = 0; s < sets_.size(); ++s) penalty_ += sets_[s].gamma * regularizer_->penalty(std::span<const float>(norms[s]));
}

void ProximalOptimizer::prox(float rate, const Stream& stream) {
  if (overlaps_.empty()) return stream.device().is_cpu() ? prox_on_cpu(rate) : prox_on_device(rate, stream);
  penalty_ = 0.0;
  std::map<std::size_t, std::vector<float>> done;  // columns that went with their rows: norms before
  for (std::size_t s = 0; s < sets_.size(); ++s) {
    const PenalisedSet& set = sets_[s];
    std::vector<float> norms;
    if (const auto columns = overlaps_.find(s); columns != overlaps_.end()) {
      const RowColumnPenalty both{*regularizer_, step_length(set, rate) * options_.every, *regularizer_,
                                  step_length(sets_[columns->second], rate) * options_.every};
      Tensor& weights = set.parameters[0]->value;
      Tensor here = weights.to(Device{});
      kernels::GroupView rows = set.parts[0];
      rows.data = here.mutable_data() + (rows.data - weights.data());
      RowColumnResult result = shrink_rows_and_columns(rows, both, Stream());
      weights.copy_from(here);
      norms = std::move(result.row_norms);
      done[columns->second] = std::move(result.column_norms);
    } else if (const auto went = done.find(s); went != done.end()) {
      norms = std::move(went->second);
    } else {
      const double step = step_length(set, rate) * options_.every;
      norms = stream.device().is_cpu() ? prox_sets(*regularizer_, std::vector<SetStep>{{set.parts, step}})[0] : regularizer_->prox(set.parts, step, stream);
    }
    penalty_ += set.gamma * regularizer_->penalty(std::span<const float>(norms));
  }
}

void ProximalOptimizer::accelerate(const std::map<Parameter*, Tensor>& before) {
  for (const auto& [parameter, start] : before) {
    Tensor weights = parameter->value.to(Device{});
    auto [entry, fresh] = velocity_.try_emplace(parameter->name, Tensor());
    if (fresh) entry->second = Tensor::zeros(weights.shape());
    Tensor& v = entry->second;
    const auto mu = static_cast<float>(options_.momentum);
    for (std::int64_t i = 0; i < weights.size(); ++i) {
      const float shrunken = weights.data()[i];
      v.mutable_data()[i] = shrunken - start.data()[i] + mu * v.data()[i];
      // A group that the proximal step has emptied stays empty: extrapolating it would undo the sparsity.
      if (shrunken != 0.0f) weights.mutable_data()[i] = shrunken + mu * v.data()[i];
    }
    parameter->value.copy_from(weights);
  }
}

std::vector<Tensor> ProximalOptimizer::with_subgradients(std::span<Parameter* const> parameters, std::span<const Tensor> gradients,
                                                         const Stream& stream) {
  std::vector<Tensor> result(gradients.begin(), gradients.end());
  std::map<const Parameter*, std::size_t> index;
  for (std::size_t i = 0; i < parameters.size(); ++i) index[parameters[i]] = i;
  std::map<std::size_t, Tensor> copied;  // weights whose gradient is a copy on the CPU by now
  penalty_ = 0.0;
  for (const PenalisedSet& set : sets_) {
    const std::vector<float> norms = group_norms(set.parts, stream);
    const std::vector<double> exact(norms.begin(), norms.end());
    const std::vector<double> slopes = regularizer_->gradient(exact);
    penalty_ += set.gamma * regularizer_->penalty(exact);
    for (std::size_t p = 0; p < set.parts.size(); ++p) {
      const std::size_t where = index.at(set.parameters[p]);
      if (!copied.contains(where)) {
        result[where] = result[where].copy_on(Device{});
        copied[where] = set.parameters[p]->value.to(Device{});
      }
      const kernels::GroupView& part = set.parts[p];
      const std::ptrdiff_t first = part.data - set.parameters[p]->value.data();
      float* gradient = result[where].mutable_data() + first;
      const float* weights = copied[where].data() + first;
      for (std::int64_t g = 0; g < part.groups; ++g) {
        const double norm = static_cast<double>(norms[static_cast<std::size_t>(g)]);
        if (!(norm > 0.0)) continue;  // 0 is a subgradient there
        const double factor = lambda_ * set.gamma * slopes[static_cast<std::size_t>(g)] / norm;
        for (std::int64_t i = 0; i < part.size; ++i) {
          const std::int64_t at = g * part.group_stride + i * part.element_stride;
          gradient[at] += static_cast<float>(factor * static_cast<double>(weights[at]));
        }
      }
    }
  }
  for (const auto& [where, weights] : copied) result[where] = result[where].to(stream.device());
  return result;
}

void ProximalOptimizer::step(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, float rate,
                             const Stream& stream) {
  ++steps_;
  if (options_.method == SparsityMethod::kSubgradient) {
    nested_->step(parameters, with_subgradients(parameters, gradients, stream), rate, stream);
    return;
  }
  std::map<Parameter*, Tensor> before;
  if (options_.method == SparsityMethod::kAccelerated) {
    for (const PenalisedSet& set : sets_) {
      for (Parameter* parameter : set.parameters) {
        if (!before.contains(parameter)) before.emplace(parameter, parameter->value.copy_on(Device{}));
      }
    }
  }
  nested_->step(parameters, gradients, rate, stream);
  if (steps_ % options_.every == 0) prox(rate, stream);
  accelerate(before);
}

std::map<std::string, Tensor> ProximalOptimizer::state() const {
  std::map<std::string, Tensor> result = nested_->state();
  for (const auto& [name, tensor] : velocity_) result.emplace(kVelocityPrefix + name, tensor);
  // Two halves: a float holds whole numbers up to 2^24 exactly.
  Tensor steps = Tensor::zeros({2});
  steps.mutable_data()[0] = static_cast<float>(steps_ >> 20);
  steps.mutable_data()[1] = static_cast<float>(steps_ & ((1 << 20) - 1));
  result.emplace(kStepsName, steps);
  return result;
}

void ProximalOptimizer::restore(const std::map<std::string, Tensor>& state) {
  std::map<std::string, Tensor> nested;
  velocity_.clear();
  for (const auto& [name, tensor] : state) {
    if (name.starts_with(kVelocityPrefix)) {
      velocity_.emplace(name.substr(std::string_view(kVelocityPrefix).size()), tensor);
    } else if (name == kStepsName) {
      steps_ = (static_cast<std::int64_t>(tensor.data()[0]) << 20) + static_cast<std::int64_t>(tensor.data()[1]);
    } else {
      nested.emplace(name, tensor);
    }
  }
  nested_->restore(nested);
}

}  // namespace hinge::compress
