#include "engine/infer/fused_graph.h"

#include <algorithm>

namespace hinge {
namespace {

class Fusion {
 public:
  explicit Fusion(const Graph& graph)
      : graph_(graph), shapes_(infer_shapes(graph)), consumers_(consumers_of(graph)), done_(graph.nodes.size(), false), name_(graph.nodes.size()) {
    for (int i = 0; i < graph.size(); ++i) name_[at(i)] = i;
  }

  FusedGraph run() {
    FusedGraph result;
    for (int i = 1; i < graph_.size(); ++i) {
      if (done_[at(i)]) continue;
      const GraphNode& node = graph_.at(i);
      if (is_alias(i)) {
        name_[at(i)] = value_of(node.inputs[0]);
        continue;
      }
      FusedStep step{.operation = i, .value = i};
      for (int input : node.inputs) step.inputs.push_back(value_of(input));
      extend(step);
      result.steps.push_back(std::move(step));
    }
    for (int output : graph_.outputs()) result.outputs.push_back(value_of(output));
    return result;
  }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  int value_of(int node) const { return name_[at(node)]; }

  bool is_alias(int i) const {
    const GraphNode& node = graph_.at(i);
    if (node.kind == OpKind::kDropout) return true;
    const FeatureShape& in = shapes_[at(node.inputs[0])];
    return node.kind == OpKind::kFlatten && in.h * in.w == 1;
  }

  // The only reader of a node that is no output, or -1.
  int reader(int node) const {
    const auto& readers = consumers_[at(node)];
    const std::vector<int> outputs = graph_.outputs();
    return readers.size() == 1 && !std::ranges::count(outputs, node) ? readers[0] : -1;
  }
  bool is(int node, OpKind kind) const { return node >= 0 && graph_.at(node).kind == kind; }

  // Takes node `next`, the only reader of the step's value, into the step.
  void take(FusedStep& step, int next) {
    done_[at(next)] = true;
    step.value = next;
  }

  FusedRelu take_relu(FusedStep& step) {
    const int next = reader(step.value);
    if (!is(next, OpKind::kRelu)) return {};
    take(step, next);
    return {true, std::get<ReluAttributes>(graph_.at(next).attributes).ceiling};
  }

  // The residual must have been made before the step's first node, or it does not exist when the step runs.
  void take_add(FusedStep& step) {
    const int next = reader(step.value);
    if (!is(next, OpKind::kAdd)) return;
    const auto& inputs = graph_.at(next).inputs;
    const int other = inputs[0] == step.value ? inputs[1] : inputs[0];
    if (other >= step.operation || other == step.value) return;
    step.residual = value_of(other);
    take(step, next);
  }

  static bool is_pointwise(const ConvAttributes& a) {
    return a.kernel_h == 1 && a.kernel_w == 1 && a.stride == 1 && a.padding == 0 && a.groups == 1;
  }

  void take_tail(FusedStep& step) {
    int next = reader(step.value), relu = -1;
    if (is(next, OpKind::kRelu)) relu = next, next = reader(relu);
    if (!is(next, OpKind::kConv2d) || !is_pointwise(std::get<ConvAttributes>(graph_.at(next).attributes))) return;
    if (relu >= 0) step.inner = take_relu(step);
    step.tail = next;
    take(step, next);
  }

  void extend(FusedStep& step) {
    switch (graph_.at(step.operation).kind) {
      case OpKind::kConv2d: take_tail(step); [[fallthrough]];
      case OpKind::kLinear:
      case OpKind::kBatchNorm: take_add(step); [[fallthrough]];
      case OpKind::kAdd: step.outer = take_relu(step); break;
      case OpKind::kRelu: step.outer = {true, std::get<ReluAttributes>(graph_.at(step.operation).attributes).ceiling}; break;
      default: break;
    }
  }

  const Graph& graph_;
  std::vector<FeatureShape> shapes_;
  std::vector<std::vector<int>> consumers_;
  std::vector<bool> done_;
  std::vector<int> name_;  // [node]: the node whose value it is
};

}  // namespace

FusedGraph fuse(const Graph& graph) { return Fusion(graph).run(); }

std::string name_of(const FusedStep& step, const Graph& graph) {
  std::string name = graph.at(step.operation).name;
  if (step.tail >= 0) name += " + " + graph.at(step.tail).name;
  if (step.residual >= 0) name += " + add";
  if (step.outer.on && graph.at(step.operation).kind != OpKind::kRelu) name += " + relu";
  return name;
}

kernels::Clamp clamp_of(const FusedRelu& relu) {
  kernels::Clamp clamp;
  if (relu.on) clamp.low = 0.0f;
  if (relu.on && relu.ceiling > 0.0f) clamp.high = relu.ceiling;
  return clamp;
}

}  // namespace hinge
