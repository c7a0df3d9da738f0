// Writes a Graph the way one writes a forward function.
#pragma once

#include <string>

#include "engine/graph/graph.h"

namespace hinge {

struct ConvOptions {
  int kernel = 3, stride = 1, groups = 1;
  int padding = -1;  // -1: kernel / 2
  bool bias = false;
};

class GraphBuilder {
 public:
  using Value = int;  // the index of the node that makes it

  GraphBuilder(std::string architecture, FeatureShape input) : inference_(input) {
    graph_.architecture = std::move(architecture);
    graph_.input = input;
    graph_.nodes.push_back({OpKind::kInput, "input", {}, {}});
  }

  Value input() const { return 0; }
  const FeatureShape& shape(Value x) const { return inference_.shapes()[static_cast<std::size_t>(x)]; }

  Value conv(const std::string& name, Value x, std::int64_t out, const ConvOptions& o = {}) {
    return append({OpKind::kConv2d, name, {x}, ConvAttributes{.in = shape(x).c, .out = out, .kernel_h = o.kernel, .kernel_w = o.kernel, .stride = o.stride, .padding = o.padding < 0 ? o.kernel / 2 : o.padding, .groups = o.groups, .bias = o.bias}});
  }
  Value linear(const std::string& name, Value x, std::int64_t out, bool bias = true) {
    return append({OpKind::kLinear, name, {x}, LinearAttributes{.in = shape(x).c, .out = out, .bias = bias}});
  }
  Value batch_norm(const std::string& name, Value x) {
    return append({OpKind::kBatchNorm, name, {x}, BatchNormAttributes{.channels = shape(x).c}});
  }
  Value relu(const std::string& name, Value x, bool functional = false) {
    return relu(name, x, ReluAttributes{.functional = functional});
  }
  Value relu(const std::string& name, Value x, const ReluAttributes& relu) {
    return append({OpKind::kRelu, name, {x}, relu});
  }
  Value add(const std::string& name, Value a, Value b) { return append({OpKind::kAdd, name, {a, b}, {}}); }
  Value concat(const std::string& name, std::vector<Value> parts) {
    return append({OpKind::kConcat, name, std::move(parts), {}});
  }
  Value max_pool(const std::string& name, Value x, const PoolAttributes& pool) {
    return append({OpKind::kMaxPool, name, {x}, pool});
  }
  Value average_pool(const std::string& name, Value x, const PoolAttributes& pool) {
    return append({OpKind::kAveragePool, name, {x}, pool});
  }
  Value global_average_pool(const std::string& name, Value x) {
    return append({OpKind::kGlobalAveragePool, name, {x}, {}});
  }
  Value shortcut_a(const std::string& name, Value x, const ShortcutAttributes& shortcut) {
    return append({OpKind::kShortcutA, name, {x}, shortcut});
  }
  Value flatten(const std::string& name, Value x) { return append({OpKind::kFlatten, name, {x}, {}}); }
  Value dropout(const std::string& name, Value x, float rate) {
    return append({OpKind::kDropout, name, {x}, DropoutAttributes{rate}});
  }

  Graph finish(Value output) && {
    graph_.output = output;
    infer_shapes(graph_);
    return std::move(graph_);
  }

 private:
  Value append(GraphNode node) {
    inference_.append(node);  // a wrong layer is named where it is written
    graph_.nodes.push_back(std::move(node));
    return graph_.size() - 1;
  }

  Graph graph_;
  ShapeInference inference_;
};

}  // namespace hinge
