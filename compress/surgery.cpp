#include "compress/surgery.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "compress/constants.h"
#include "engine/core/error.h"
#include "engine/nn/merge_pair.h"

namespace hinge::compress {
namespace {

// tensor [A, ..., Z] -> those of `kept` along A.
Tensor keep_first(const Tensor& tensor, const std::vector<int>& kept) {
  std::vector<std::int64_t> extents(tensor.shape().extents().begin(), tensor.shape().extents().end());
  const std::int64_t size = tensor.size() / extents[0];
  extents[0] = static_cast<std::int64_t>(kept.size());
  Tensor result = Tensor::empty(Shape(extents));
  float* to = result.mutable_data();
  for (int index : kept) to = std::copy_n(tensor.data() + index * size, size, to);
  return result;
}

// tensor [A, ..., Z] -> those of `kept` along Z.
Tensor keep_last(const Tensor& tensor, const std::vector<int>& kept) {
  std::vector<std::int64_t> extents(tensor.shape().extents().begin(), tensor.shape().extents().end());
  const std::int64_t last = extents.back(), rows = tensor.size() / last;
  extents.back() = static_cast<std::int64_t>(kept.size());
  Tensor result = Tensor::empty(Shape(extents));
  float* to = result.mutable_data();
  for (std::int64_t row = 0; row < rows; ++row) {
    for (int index : kept) *to++ = tensor.data()[row * last + index];
  }
  return result;
}

// The kept channels of every node.
std::vector<std::vector<int>> kept_channels(const ChannelUnits& units, const std::vector<bool>& gone) {
  std::vector<std::vector<int>> kept;
  for (const auto& labels : units.unit_of) {
    std::vector<int> list;
    for (int c = 0; c < static_cast<int>(labels.size()); ++c) {
      if (!gone[static_cast<std::size_t>(labels[static_cast<std::size_t>(c)])]) list.push_back(c);
    }
    kept.push_back(std::move(list));
  }
  return kept;
}

void cut_attributes(GraphNode& node, const std::vector<int>& in, const std::vector<int>& out) {
  const auto channels_in = static_cast<std::int64_t>(in.size()), channels_out = static_cast<std::int64_t>(out.size());
  if (auto* conv = std::get_if<ConvAttributes>(&node.attributes)) {
    if (conv->groups > 1) conv->groups = static_cast<int>(conv->groups * channels_out / conv->out);
    conv->in = channels_in, conv->out = channels_out;
  } else if (auto* linear = std::get_if<LinearAttributes>(&node.attributes)) {
    linear->in = channels_in, linear->out = channels_out;
  } else if (auto* norm = std::get_if<BatchNormAttributes>(&node.attributes)) {
    norm->channels = channels_out;
  } else if (auto* shortcut = std::get_if<ShortcutAttributes>(&node.attributes)) {
    const std::int64_t before = shortcut->before;
    shortcut->before = std::ranges::count_if(out, [&](int c) { return c < before; });
    shortcut->after = channels_out - channels_in - shortcut->before;
  }
}

void cut_tensors(const GraphNode& node, std::map<std::string, Tensor>& values, const std::vector<int>& in, const std::vector<int>& out) {
  const auto cut = [&](const char* what, auto&& keep) {
    if (const auto found = values.find(node.name + what); found != values.end()) found->second = keep(found->second);
  };
  const auto along_out = [&](const Tensor& tensor) { return keep_first(tensor, out); };
  for (const char* vector : {".bias", ".running_mean", ".running_var"}) cut(vector, along_out);
  cut(".weight", along_out);
  if (mixes_channels(node)) cut(".weight", [&](const Tensor& tensor) { return keep_last(tensor, in); });
}

// Where the plan says so, the pair becomes one convolution that has the layer's own name and reads what the pair read.
Network merge_pairs(const Network& network, const std::vector<FactorPair>& pairs, const std::vector<PairEdit>& edits) {
  const Graph& graph = network.graph();
  std::map<std::string, Tensor> values = network.values();
  std::map<std::string, const FactorPair*> spatial_of, pointwise_of;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (edits[i].form != PairEdit::Form::kMerged) continue;
    spatial_of[pairs[i].spatial] = &pairs[i];
    pointwise_of[pairs[i].pointwise] = &pairs[i];
  }
  Graph result{.architecture = graph.architecture, .input = graph.input, .nodes = {}, .output = 0};
  std::vector<int> new_index(graph.nodes.size(), -1);
  for (int n = 0; n < graph.size(); ++n) {
    GraphNode node = graph.at(n);
    if (spatial_of.contains(node.name)) continue;
    if (const auto found = pointwise_of.find(node.name); found != pointwise_of.end()) {
      const FactorPair& pair = *found->second;
      const GraphNode& spatial = graph.at(graph.find(pair.spatial));
      ConvAttributes conv = std::get<ConvAttributes>(spatial.attributes);
      const auto& pointwise = std::get<ConvAttributes>(node.attributes);
      conv.out = pointwise.out, conv.bias = pointwise.bias;
      node.name = pair.layer, node.inputs = spatial.inputs, node.attributes = conv;
      values[pair.layer + ".weight"] = merge_pair(values.at(pair.spatial + ".weight"), values.at(pair.pointwise + ".weight"));
      if (conv.bias) values[pair.layer + ".bias"] = values.at(pair.pointwise + ".bias");
      for (const std::string& old : {pair.spatial + ".weight", pair.pointwise + ".weight", pair.pointwise + ".bias"}) values.erase(old);
    }
    for (int& input : node.inputs) input = new_index[static_cast<std::size_t>(input)];
    result.nodes.push_back(std::move(node));
    new_index[static_cast<std::size_t>(n)] = result.size() - 1;
  }
  result.output = new_index[static_cast<std::size_t>(graph.output)];
  for (int output : graph.more_outputs) result.more_outputs.push_back(new_index[static_cast<std::size_t>(output)]);
  Network merged(std::move(result));
  merged.set_values(values);
  return merged;
}

}  // namespace

std::vector<bool> removed_units(const std::vector<SetEdit>& sets, const Structure& structure) {
  std::vector<bool> removed(static_cast<std::size_t>(structure.units.count()), false);
  for (std::size_t s = 0; s < sets.size(); ++s) {
    for (int group : removed_groups(sets[s])) {
      removed[static_cast<std::size_t>(structure.sets[s].units[static_cast<std::size_t>(group)])] = true;
    }
  }
  return removed;
}

void mask_groups(const std::vector<SetEdit>& sets, const Structure& structure, Network& network) {
  for (std::size_t s = 0; s < sets.size(); ++s) {
    const std::vector<int> removed = removed_groups(sets[s]);
    for (const kernels::GroupView& view : views_of(structure.sets[s], structure.attached, network)) {
      for (int group : removed) {
        float* weights = view.data + group * view.group_stride;
        for (std::int64_t i = 0; i < view.size; ++i) weights[i * view.element_stride] = 0.0f;
      }
    }
  }
}

void mask(const CompressionPlan& plan, const Structure& structure, Network& network) {
  check_plan(plan, structure);
  require(network.graph() == structure.attached, "mask: the network is not the one that the plan is about");
  mask_groups(plan.sets, structure, network);
}

Network without_units(const Network& network, const ChannelUnits& units, const std::vector<bool>& gone) {
  Graph graph = network.graph();
  std::map<std::string, Tensor> values = network.values();
  const std::vector<std::vector<int>> kept = kept_channels(units, gone);
  for (int n = 1; n < graph.size(); ++n) {
    GraphNode& node = graph.at(n);
    const auto& in = kept[static_cast<std::size_t>(node.inputs[0])];
    const auto& out = kept[static_cast<std::size_t>(n)];
    require(!out.empty(), "surgery: nothing of {} would be left", node.name);
    if (node.weights_of.empty()) cut_tensors(node, values, in, out);
    cut_attributes(node, in, out);
  }
  Network result(std::move(graph));
  result.set_values(values);
  return result;
}

Network apply(const CompressionPlan& plan, const Structure& structure, const Network& attached) {
  Network masked = attached.clone();
  mask(plan, structure, masked);
  std::vector<bool> gone = removed_units(plan.sets, structure);
  std::vector<int> carriers;
  for (std::size_t s = 0; s < plan.sets.size(); ++s) {
    for (int group : plan.sets[s].carriers) carriers.push_back(structure.sets[s].units[static_cast<std::size_t>(group)]);
  }
  const bool channels_go = std::ranges::any_of(structure.sets, [](const GroupSet& set) { return set.kind == GroupSet::Kind::kChannels; });
  if (channels_go) fold_constants(masked, structure.units, gone, carriers);
  for (int unit : carriers) gone[static_cast<std::size_t>(unit)] = false;
  return merge_pairs(without_units(masked, structure.units, gone), structure.pairs, plan.pairs);
}

void extend_proof(Proof& proof, Network& masked, Network& shrunken, const Tensor& images, const Stream& stream) {
  const NoGradients guard;
  const std::vector<Tensor> a = masked.forward_all(images, {}, stream), b = shrunken.forward_all(images, {}, stream);
  require(a.size() == b.size(), "proof: {} and {} outputs", a.size(), b.size());
  proof.images += images.dim(0);
  for (std::size_t output = 0; output < a.size(); ++output) {
    require(a[output].shape() == b[output].shape(), "proof: outputs are {} and {}", a[output].shape(), b[output].shape());
    for (std::int64_t i = 0; i < a[output].size(); ++i) {
      if (std::isnan(proof.largest_difference)) return;  // a later batch can't mend it
      const double x = static_cast<double>(a[output].data()[i]), y = static_cast<double>(b[output].data()[i]);
      const double difference = std::abs(x - y);
      if (!(difference <= proof.largest_difference)) proof.largest_difference = difference;  // takes over NaN
      proof.largest_logit = std::max(proof.largest_logit, std::abs(x));
    }
  }
}

}  // namespace hinge::compress
