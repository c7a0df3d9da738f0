#include "compress/budget.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "engine/core/error.h"

namespace hinge::compress {

Structure make_structure(const Graph& dense, const GroupOptions& options, const std::vector<std::int64_t>& ranks) {
  Structure structure{.dense = dense, .attached = {}, .pairs = {}, .units = {}, .sets = {}, .choice = choose_groups(dense, options)};
  structure.pairs = pairs_of(structure.choice.attach);
  std::vector<std::int64_t> full = ranks;
  if (full.empty()) {
    for (const FactorPair& pair : structure.pairs) {
      const auto& conv = std::get<ConvAttributes>(dense.at(dense.find(pair.layer)).attributes);
      full.push_back(std::min(conv.out, conv.in * conv.kernel_h * conv.kernel_w));
    }
  }
  structure.attached = with_pairs(dense, structure.pairs, full);
  structure.units = derive_units(structure.attached);
  structure.sets = group_sets(structure.attached, structure.units, structure.pairs, structure.choice);
  return structure;
}

namespace {

constexpr std::int64_t kFloatBytes = 4;

std::int64_t statistics_of(const Graph& graph) {
  std::int64_t numbers = 0;
  for (const GraphNode& node : graph.nodes) {
    const auto* norm = std::get_if<BatchNormAttributes>(&node.attributes);
    if (norm != nullptr && node.weights_of.empty()) numbers += 2 * norm->channels;
  }
  return numbers;
}

}  // namespace

Size size_of(const Graph& graph) {
  const Cost cost = cost_of(graph);
  return {cost, kFloatBytes * (cost.parameters + statistics_of(graph))};
}

Budget::Budget(const Structure& structure, std::shared_ptr<const LayerClock> clock) : dense_(size_of(structure.dense)), clock_(std::move(clock)) {
  const Graph& graph = structure.attached;
  const std::vector<FeatureShape> shapes = infer_shapes(graph);
  for (const FeatureShape& shape : shapes) full_channels_.push_back(shape.c);
  std::map<std::string, std::size_t> spatial_of, pointwise_of;
  for (std::size_t i = 0; i < structure.pairs.size(); ++i) {
    spatial_of[structure.pairs[i].spatial] = i;
    pointwise_of[structure.pairs[i].pointwise] = i;
  }
  pair_layers_.resize(structure.pairs.size());
  for (int index = 1; index < graph.size(); ++index) {
    const GraphNode& node = graph.at(index);
    const FeatureShape& shape = shapes[static_cast<std::size_t>(index)];
    Layer layer{.kind = Layer::Kind::kConv, .input = node.inputs[0], .node = index, .pixels = shape.h * shape.w, .owner = node.weights_of.empty()};
    if (const auto* conv = std::get_if<ConvAttributes>(&node.attributes)) {
      if (spatial_of.contains(node.name)) continue;
      layer.window = conv->kernel_h * conv->kernel_w;
      layer.bias = conv->bias;
      const FeatureShape& in = shapes[static_cast<std::size_t>(layer.input)];
      layer.spec = {.h = in.h, .w = in.w, .c = in.c, .k = conv->out, .r = conv->kernel_h, .s = conv->kernel_w, .stride = conv->stride, .padding = conv->padding, .groups = conv->groups};
      if (conv->groups > 1) layer.per_group = conv->in / conv->groups;
      if (const auto pair = pointwise_of.find(node.name); pair != pointwise_of.end()) {
        layer.kind = Layer::Kind::kPair;
        layer.rank_node = node.inputs[0];
        const GraphNode& spatial = graph.at(layer.rank_node);
        const auto& window = std::get<ConvAttributes>(spatial.attributes);
        layer.window = window.kernel_h * window.kernel_w;
        layer.input = spatial.inputs[0];
        const FeatureShape& from = shapes[static_cast<std::size_t>(layer.input)];
        layer.spec = {.h = from.h, .w = from.w, .c = from.c, .k = window.out, .r = window.kernel_h, .s = window.kernel_w, .stride = window.stride, .padding = window.padding, .groups = 1, .tail = shape.c};
        pair_layers_[pair->second] = layers_.size();
      }
    } else if (const auto* linear = std::get_if<LinearAttributes>(&node.attributes)) {
      layer.kind = Layer::Kind::kLinear;
      layer.bias = linear->bias;
      layer.spec = {.h = 1, .w = 1, .c = linear->in, .k = linear->out};
    } else if (std::holds_alternative<BatchNormAttributes>(node.attributes)) {
      layer.kind = Layer::Kind::kNorm;
    } else if (const auto* relu = std::get_if<ReluAttributes>(&node.attributes)) {
      layer.kind = Layer::Kind::kRelu;
      layer.counted = !relu->functional;
    } else {
      continue;
    }
    layers_.push_back(layer);
  }
  for (const GroupSet& set : structure.sets) {
    set_sizes_.push_back(static_cast<std::int64_t>(set.size()));
    std::vector<Share> shares;
    for (int node = 0; node < graph.size(); ++node) {
      const auto count = std::ranges::count(structure.units.of(node), set.units[0]);
      if (count > 0) shares.push_back({node, count});
    }
    shares_.push_back(std::move(shares));
  }
  if (clock_ != nullptr) {
    prepare_clock();
    std::vector<std::int64_t> all = set_sizes_;
    dense_.seconds = size(all).seconds;  // a pair of full rank never pays: it counts as the layer it was
  }
}

std::vector<std::int64_t> Budget::channels(std::span<const std::int64_t> kept) const {
  require(kept.size() == sets(), "budget: {} counts for {} sets", kept.size(), sets());
  std::vector<std::int64_t> result = full_channels_;
  for (std::size_t set = 0; set < kept.size(); ++set) {
    for (const Share& share : shares_[set]) {
      result[static_cast<std::size_t>(share.node)] -= share.channels * (set_sizes_[set] - kept[set]);
    }
  }
  return result;
}

void Budget::prepare_clock() const {
  std::vector<bool> varies(full_channels_.size(), false);
  for (const auto& shares : shares_) {
    for (const Share& share : shares) varies[static_cast<std::size_t>(share.node)] = true;
  }
  const auto of = [&](int node) { return varies[static_cast<std::size_t>(node)]; };
  for (const Layer& layer : layers_) {
    if (layer.kind == Layer::Kind::kNorm || layer.kind == Layer::Kind::kRelu) continue;
    LayerClock::Spec whole = layer.spec;  // as one convolution
    if (layer.kind == Layer::Kind::kPair) {
      if (of(layer.rank_node)) clock_->prepare(layer.spec, of(layer.input), true, of(layer.node));
      whole.k = whole.tail, whole.tail = 0;
    }
    clock_->prepare(whole, of(layer.input), of(layer.node), false);
  }
}

double Budget::seconds_as(const Layer& layer, bool as_pair, const std::vector<std::int64_t>& channels) const {
  const auto of = [&](int node) { return channels[static_cast<std::size_t>(node)]; };
  LayerClock::Spec full = layer.spec, kept = layer.spec;
  kept.c = of(layer.input);
  if (layer.kind != Layer::Kind::kPair) {
    kept.k = of(layer.node);
  } else if (as_pair) {
    kept.k = of(layer.rank_node), kept.tail = of(layer.node);
  } else {
    full.k = full.tail, full.tail = 0;
    kept.k = of(layer.node), kept.tail = 0;
  }
  return clock_->convolution(full, kept);
}

double Budget::seconds_of_layer(const Layer& layer, const std::vector<std::int64_t>& channels) const {
  switch (layer.kind) {
    case Layer::Kind::kPair: return seconds_as(layer, pays(layer, channels), channels);
    case Layer::Kind::kConv:
    case Layer::Kind::kLinear: return seconds_as(layer, false, channels);
    case Layer::Kind::kNorm: return clock_->elements(static_cast<double>(channels[static_cast<std::size_t>(layer.node)] * layer.pixels));
    case Layer::Kind::kRelu: break;
  }
  return 0.0;
}

bool Budget::pays(const Layer& pair, const std::vector<std::int64_t>& channels) const {
  const auto rank = static_cast<std::size_t>(pair.rank_node);
  if (channels[rank] == full_channels_[rank]) return false;  // of full rank it is the same filters and more: no clock needs asking
  if (clock_ != nullptr) return seconds_as(pair, true, channels) < seconds_as(pair, false, channels);
  const auto of = [&](int node) { return channels[static_cast<std::size_t>(node)]; };
  const std::int64_t filter = of(pair.input) * pair.window;
  return of(pair.rank_node) * (filter + of(pair.node)) < filter * of(pair.node);
}

Size Budget::size_of_layer(const Layer& layer, const std::vector<std::int64_t>& channels) const {
  const auto of = [&](int node) { return channels[static_cast<std::size_t>(node)]; };
  const std::int64_t out = of(layer.node), elements = out * layer.pixels;
  std::int64_t weights = 0, parameters = 0, statistics = 0, operations = 0;
  switch (layer.kind) {
    case Layer::Kind::kConv: weights = (layer.per_group > 0 ? layer.per_group : of(layer.input)) * layer.window * out; break;
    case Layer::Kind::kLinear: weights = of(layer.input) * out; break;
    case Layer::Kind::kPair: {
      const std::int64_t filter = of(layer.input) * layer.window;
      weights = pays(layer, channels) ? of(layer.rank_node) * (filter + out) : filter * out;
      break;
    }
    case Layer::Kind::kNorm: parameters = 2 * out, statistics = 2 * out, operations = 2 * elements; break;
    case Layer::Kind::kRelu: operations = layer.counted ? elements : 0; break;
  }
  parameters += weights + (layer.bias ? out : 0);
  if (!layer.owner) parameters = statistics = 0;
  const std::int64_t macs = weights * layer.pixels;
  return {{parameters, macs, macs + operations}, kFloatBytes * (parameters + statistics)};
}

Size Budget::size(std::span<const std::int64_t> kept) const {
  const std::vector<std::int64_t> channels = this->channels(kept);
  Size total;
  for (const Layer& layer : layers_) {
    const Size part = size_of_layer(layer, channels);
    total.cost += part.cost;
    total.bytes += part.bytes;
    if (clock_ != nullptr) total.seconds += seconds_of_layer(layer, channels);
  }
  return total;
}

double Budget::seconds_with(std::size_t set, std::int64_t kept) const {
  require(clock_ != nullptr, "budget: no clock to ask for seconds");
  std::vector<std::int64_t> counts = set_sizes_;
  counts[set] = kept;
  const std::vector<std::int64_t> channels = this->channels(counts);
  const auto touched = [&](int node) { return std::ranges::any_of(shares_[set], [&](const Share& share) { return share.node == node; }); };
  double seconds = 0.0;
  for (const Layer& layer : layers_) {
    if (touched(layer.input) || touched(layer.node) || touched(layer.rank_node)) seconds += seconds_of_layer(layer, channels);
  }
  return seconds;
}

std::vector<bool> Budget::pairs_that_pay(std::span<const std::int64_t> kept) const {
  const std::vector<std::int64_t> channels = this->channels(kept);
  std::vector<bool> result;
  for (std::size_t layer : pair_layers_) result.push_back(pays(layers_[layer], channels));
  return result;
}

double Target::flops_ratio(const Size& size, const Size& dense) const {
  return static_cast<double>(flops_of(size.cost, count)) / static_cast<double>(flops_of(dense.cost, count));
}

namespace {

double parameter_ratio(const Size& size, const Size& dense) {
  return static_cast<double>(size.cost.parameters) / static_cast<double>(dense.cost.parameters);
}

}  // namespace

bool Target::met_by(const Size& size, const Size& dense) const {
  return (!flops || flops_ratio(size, dense) <= *flops) && (!parameters || parameter_ratio(size, dense) <= *parameters) &&
         (!bytes || size.bytes <= *bytes) && (!latency || size.seconds <= *latency * dense.seconds) && (!seconds || size.seconds <= *seconds);
}

double Target::progress(const Size& size, const Size& dense) const {
  double least = 1.0;
  const auto consider = [&](double share, double limit) {
    if (limit < 1.0) least = std::min(least, (1.0 - share) / (1.0 - limit));
  };
  if (flops) consider(flops_ratio(size, dense), *flops);
  if (parameters) consider(parameter_ratio(size, dense), *parameters);
  if (bytes) consider(static_cast<double>(size.bytes) / static_cast<double>(dense.bytes), static_cast<double>(*bytes) / static_cast<double>(dense.bytes));
  if (latency) consider(size.seconds / dense.seconds, *latency);
  if (seconds) consider(size.seconds / dense.seconds, *seconds / dense.seconds);
  return least;
}

Target Target::at(double progress, const Size& dense) const {
  const double p = std::clamp(progress, 0.0, 1.0);
  Target result = *this;
  if (flops) result.flops = 1.0 - p * (1.0 - *flops);
  if (parameters) result.parameters = 1.0 - p * (1.0 - *parameters);
  if (bytes) result.bytes = dense.bytes - static_cast<std::int64_t>(std::llround(p * static_cast<double>(dense.bytes - *bytes)));
  if (latency) result.latency = 1.0 - p * (1.0 - *latency);
  if (seconds) result.seconds = dense.seconds - p * (dense.seconds - *seconds);
  return result;
}

std::string Target::to_string() const {
  std::string text;
  const auto append = [&](const std::string& part) { text += (text.empty() ? "" : ",") + part; };
  if (flops) append(fmt::format("flops={}", *flops));
  if (parameters) append(fmt::format("params={}", *parameters));
  if (bytes) append(fmt::format("bytes={}", *bytes));
  if (latency) append(fmt::format("latency={}", *latency));
  if (seconds) append(fmt::format("latency={}ms", 1e3 * *seconds));
  return text;
}

}  // namespace hinge::compress
