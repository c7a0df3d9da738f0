#include "compress/attach.h"

#include <map>

namespace hinge::compress {
namespace {

FactorPair pair_of(const std::string& layer) {
  return {.layer = layer, .spatial = layer + ".0", .pointwise = layer + ".1", .block = block_of(layer)};
}

}  // namespace

std::vector<FactorPair> pairs_of(const std::vector<std::string>& layers) {
  std::vector<FactorPair> pairs;
  for (const std::string& layer : layers) pairs.push_back(pair_of(layer));
  return pairs;
}

std::string block_of(const std::string& layer) {
  const std::size_t dot = layer.rfind('.');
  return dot == std::string::npos ? "" : layer.substr(0, dot);
}

Graph with_pairs(const Graph& graph, const std::vector<FactorPair>& pairs, const std::vector<std::int64_t>& ranks) {
  require(pairs.size() == ranks.size(), "with_pairs: {} pairs, {} ranks", pairs.size(), ranks.size());
  std::map<std::string, std::size_t> pair_of_layer;
  for (std::size_t i = 0; i < pairs.size(); ++i) pair_of_layer[pairs[i].layer] = i;

  Graph result{.architecture = graph.architecture, .input = graph.input, .nodes = {}, .output = 0};
  std::vector<int> new_index(graph.nodes.size());
  for (int i = 0; i < graph.size(); ++i) {
    GraphNode node = graph.at(i);
    for (int& input : node.inputs) input = new_index[static_cast<std::size_t>(input)];
    if (const auto found = pair_of_layer.find(node.name); found != pair_of_layer.end()) {
      const FactorPair& pair = pairs[found->second];
      const std::int64_t rank = ranks[found->second];
      ConvAttributes spatial = std::get<ConvAttributes>(node.attributes);
      const ConvAttributes pointwise{.in = rank, .out = spatial.out, .bias = spatial.bias};
      spatial.out = rank, spatial.bias = false;
      result.nodes.push_back({OpKind::kConv2d, pair.spatial, node.inputs, spatial});
      node = {OpKind::kConv2d, pair.pointwise, {result.size() - 1}, pointwise};
      pair_of_layer.erase(found);
    }
    result.nodes.push_back(std::move(node));
    new_index[static_cast<std::size_t>(i)] = result.size() - 1;
  }
  require(pair_of_layer.empty(), "with_pairs: the network has no layer '{}'",
          pair_of_layer.empty() ? "" : pair_of_layer.begin()->first);
  result.output = new_index[static_cast<std::size_t>(graph.output)];
  for (int output : graph.more_outputs) result.more_outputs.push_back(new_index[static_cast<std::size_t>(output)]);
  infer_shapes(result);
  return result;
}

Attached attach(const Network& network, const std::vector<std::string>& layers, Initialisation initialisation, const NoiseOptions& noise) {
  std::vector<FactorPair> pairs;
  std::vector<std::int64_t> ranks;
  std::map<std::string, Tensor> values = network.values();
  for (const std::string& layer : layers) {
    const FactorPair pair = pair_of(layer);
    const auto weight = values.find(layer + ".weight");
    require(weight != values.end(), "attach: the network has no convolution '{}'", layer);
    NoiseOptions own = noise;
    own.seed = noise.seed + 0x9e3779b97f4a7c15u * (pairs.size() + 1);
    const Factors factors = factorize(weight->second, initialisation, own);
    values.erase(weight);
    values[pair.spatial + ".weight"] = factors.spatial;
    values[pair.pointwise + ".weight"] = factors.pointwise;
    if (const auto bias = values.find(layer + ".bias"); bias != values.end()) {
      values[pair.pointwise + ".bias"] = bias->second;
      values.erase(layer + ".bias");
    }
    ranks.push_back(factors.spatial.dim(0));
    pairs.push_back(pair);
  }
  Attached result{Network(with_pairs(network.graph(), pairs, ranks)), pairs};
  result.network.set_values(values);
  return result;
}

}  // namespace hinge::compress
