#include "engine/nn/fold_batch_norm.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace hinge {
namespace {

// [node]: the layer that the BatchNorm `node` goes into, or -1.
std::vector<int> layers_to_fold_into(const Graph& graph) {
  const auto consumers = consumers_of(graph);
  const std::vector<int> outputs = graph.outputs();
  std::set<std::string> shared;
  for (const GraphNode& node : graph.nodes) {
    if (!node.weights_of.empty()) shared.insert({node.name, node.weights_of});
  }
  std::vector<int> result(graph.nodes.size(), -1);
  for (int i = 1; i < graph.size(); ++i) {
    if (graph.at(i).kind != OpKind::kBatchNorm) continue;
    const int before = graph.at(i).inputs[0];
    const GraphNode& layer = graph.at(before);
    const bool weighted = layer.kind == OpKind::kConv2d || layer.kind == OpKind::kLinear;
    const bool alone = consumers[static_cast<std::size_t>(before)].size() == 1 && !std::ranges::count(outputs, before);
    if (weighted && alone && !shared.contains(layer.name) && !shared.contains(graph.at(i).name)) result[static_cast<std::size_t>(i)] = before;
  }
  return result;
}

void add_bias(GraphNode& layer) {
  if (auto* conv = std::get_if<ConvAttributes>(&layer.attributes)) conv->bias = true;
  if (auto* linear = std::get_if<LinearAttributes>(&layer.attributes)) linear->bias = true;
}

// `graph` without the folded BatchNorms.
Graph without_folded(const Graph& graph, const std::vector<int>& into) {
  Graph result = graph;
  result.nodes.clear();
  std::vector<int> place;  // [old node]: where its value is now
  for (int i = 0; i < graph.size(); ++i) {
    if (const int layer = into[static_cast<std::size_t>(i)]; layer >= 0) {
      place.push_back(place[static_cast<std::size_t>(layer)]);
      add_bias(result.at(place.back()));
      continue;
    }
    place.push_back(result.size());
    result.nodes.push_back(graph.at(i));
    for (int& input : result.nodes.back().inputs) input = place[static_cast<std::size_t>(input)];
  }
  result.output = place[static_cast<std::size_t>(graph.output)];
  for (int& output : result.more_outputs) output = place[static_cast<std::size_t>(output)];
  return result;
}

// Moves the BatchNorm's four vectors out of `values` and into the layer's weight and bias. In double: the result is then
// the exactly folded layer, rounded once.
void fold_values(std::map<std::string, Tensor>& values, const std::string& layer, const GraphNode& norm) {
  const double epsilon = static_cast<double>(std::get<BatchNormAttributes>(norm.attributes).epsilon);
  const auto take = [&](const char* suffix) { return values.extract(norm.name + suffix).mapped(); };
  const Tensor gamma = take(".weight"), beta = take(".bias"), mean = take(".running_mean"), var = take(".running_var");
  const auto old_bias = values.find(layer + ".bias");
  Tensor weight = values.at(layer + ".weight").clone(), bias = Tensor::empty(gamma.shape());
  const std::int64_t filters = gamma.size(), size = weight.size() / filters;
  for (std::int64_t k = 0; k < filters; ++k) {
    const double scale = static_cast<double>(gamma.data()[k]) / std::sqrt(static_cast<double>(var.data()[k]) + epsilon);
    const double before = old_bias == values.end() ? 0.0 : static_cast<double>(old_bias->second.data()[k]);
    bias.mutable_data()[k] = static_cast<float>(scale * (before - static_cast<double>(mean.data()[k])) + static_cast<double>(beta.data()[k]));
    float* row = weight.mutable_data() + k * size;
    for (std::int64_t j = 0; j < size; ++j) row[j] = static_cast<float>(scale * static_cast<double>(row[j]));
  }
  values[layer + ".weight"] = weight;
  values[layer + ".bias"] = bias;
}

}  // namespace

Network fold_batch_norm(const Network& network) {
  const Graph& graph = network.graph();
  const std::vector<int> into = layers_to_fold_into(graph);
  std::map<std::string, Tensor> values = network.values();
  for (int i = 0; i < graph.size(); ++i) {
    const int layer = into[static_cast<std::size_t>(i)];
    if (layer >= 0) fold_values(values, graph.at(layer).name, graph.at(i));
  }
  Network result(without_folded(graph, into));
  result.set_values(values);
  return result;
}

}  // namespace hinge
