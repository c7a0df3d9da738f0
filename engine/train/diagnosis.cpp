#include "engine/train/diagnosis.h"

#include <numeric>

#include "engine/autograd/node.h"
#include "engine/core/accelerator.h"

namespace hinge {
namespace {

std::optional<NotFinite> in_values(const Network& network) {
  for (const auto& [name, value] : network.values()) {
    const bool statistic = name.ends_with(".running_mean") || name.ends_with(".running_var");
    if (auto found = first_not_finite(value, statistic ? "running statistic" : "weight", name)) return found;
  }
  return std::nullopt;
}

// What the layers put out: the same graph with every node as an output.
std::optional<NotFinite> in_outputs(const Network& network, const StepUnderSuspicion& step, const Stream& stream) {
  Graph graph = network.graph();
  graph.output = 0;
  graph.more_outputs.resize(graph.nodes.size() - 1);
  std::iota(graph.more_outputs.begin(), graph.more_outputs.end(), 1);
  Network open(std::move(graph));
  open.set_values(network.values());
  open.move_to(network.device());
  const NoGradients guard;
  const std::vector<Tensor> outputs = open.forward_all(step.images.to(network.device()), step.forward, stream);
  for (std::size_t node = 1; node < outputs.size(); ++node) {
    if (auto found = first_not_finite(outputs[node], "output", network.graph().nodes[node].name)) return found;
  }
  return std::nullopt;
}

}  // namespace

NotFinite first_to_go_wrong(Network& network, const StepUnderSuspicion& step, const Stream& stream) {
  if (auto found = first_not_finite(step.images, "image", "the batch")) return *found;
  for (const Parameter* parameter : network.parameters()) {
    if (auto found = first_not_finite(parameter->value, "weight", parameter->name)) return *found;
  }
  if (auto found = in_outputs(network, step, stream)) return *found;
  if (step.teacher != nullptr) {
    const NoGradients guard;
    const Tensor logits = step.teacher->forward(step.images.to(step.teacher->device()), {.activations = step.forward.activations}, stream);
    if (auto found = first_not_finite(logits, "output", "the teacher")) return *found;
  }
  if (!std::isfinite(step.loss)) return {.what = "loss", .name = {}, .index = {}, .value = step.loss};
  // Backward runs from the last layer to the first, so the last gradient that is wrong was wrong first.
  const std::vector<Parameter*> parameters = network.parameters();
  for (std::size_t i = step.gradients.size(); i-- > 0;) {
    if (auto found = first_not_finite(step.gradients[i], "gradient", parameters[i]->name)) return *found;
  }
  return {.what = "loss", .name = {}, .index = {}, .value = step.loss};
}

void require_finite(const Network& network) {
  if (auto found = in_values(network)) throw NotFiniteError(std::move(*found));
}

}  // namespace hinge
