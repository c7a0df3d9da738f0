#include "engine/graph/cost.h"

namespace hinge {
namespace {

Cost node_cost(const GraphNode& node, const FeatureShape& output) {
  const std::int64_t pixels = output.h * output.w;
  if (const auto* conv = std::get_if<ConvAttributes>(&node.attributes)) {
    const std::int64_t filter = conv->in / conv->groups * conv->kernel_h * conv->kernel_w;
    const std::int64_t macs = filter * conv->out * pixels;
    return {filter * conv->out + (conv->bias ? conv->out : 0), macs, macs};
  }
  if (const auto* linear = std::get_if<LinearAttributes>(&node.attributes)) {
    const std::int64_t macs = linear->in * linear->out;
    return {macs + (linear->bias ? linear->out : 0), macs, macs};
  }
  if (const auto* norm = std::get_if<BatchNormAttributes>(&node.attributes)) {
    return {2 * norm->channels, 0, 2 * output.size()};
  }
  if (const auto* relu = std::get_if<ReluAttributes>(&node.attributes)) {
    return {0, 0, relu->functional ? 0 : output.size()};
  }
  return {};
}

}  // namespace

Cost& Cost::operator+=(const Cost& other) {
  parameters += other.parameters;
  macs += other.macs;
  operations += other.operations;
  return *this;
}

std::vector<LayerCost> layer_costs(const Graph& graph) {
  const std::vector<FeatureShape> shapes = infer_shapes(graph);
  std::vector<LayerCost> costs;
  for (int i = 0; i < graph.size(); ++i) {
    const GraphNode& node = graph.at(i);
    const FeatureShape& output = shapes[static_cast<std::size_t>(i)];
    costs.push_back({node.name, node.kind, output, node_cost(node, output)});
    if (!node.weights_of.empty()) costs.back().cost.parameters = 0;  // counted with their owner
  }
  return costs;
}

Cost cost_of(const Graph& graph) {
  Cost total;
  for (const LayerCost& layer : layer_costs(graph)) total += layer.cost;
  return total;
}

}  // namespace hinge
