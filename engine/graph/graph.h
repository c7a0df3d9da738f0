// A network as data: operations in the order in which they run, each naming the operations it reads.
//
// This is what a model file carries, what surgery edits, what costs are counted from and what runs. It holds no
// weights; those lie beside it under "<node name>.weight" and so on (engine/nn/network.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <variant>
#include <vector>

#include "engine/core/error.h"

namespace hinge {

enum class OpKind {
  kInput,
  kConv2d,
  kLinear,
  kBatchNorm,
  kRelu,
  kAdd,
  kConcat,
  kMaxPool,
  kAveragePool,
  kGlobalAveragePool,
  kShortcutA,
  kFlatten,
  kDropout
};
inline constexpr int kOpKinds = 13;
std::string_view name_of(OpKind kind);     // "conv2d"
OpKind op_kind_of(std::string_view name);  // throws Error on an unknown name

// A picture's extents without the batch. After flatten: h = w = 1 and c counts all features.
struct FeatureShape {
  std::int64_t h = 0, w = 0, c = 0;
  std::int64_t size() const { return h * w * c; }
  bool operator==(const FeatureShape&) const = default;
};

struct ConvAttributes {
  std::int64_t in = 0, out = 0;  // channels C and K
  int kernel_h = 1, kernel_w = 1;
  int stride = 1, padding = 0, groups = 1;
  bool bias = false;
  bool operator==(const ConvAttributes&) const = default;
};
struct LinearAttributes {
  std::int64_t in = 0, out = 0;
  bool bias = true;
  bool operator==(const LinearAttributes&) const = default;
};
struct BatchNormAttributes {
  std::int64_t channels = 0;
  float epsilon = 1e-5f, momentum = 0.1f;
  bool operator==(const BatchNormAttributes&) const = default;
};
struct ReluAttributes {
  bool functional = false;  // the reference's operation count leaves functional ReLUs out
  float ceiling = 0.0f;     // min(max(0, x), ceiling): 6 in ReLU6; 0 is none
  bool operator==(const ReluAttributes&) const = default;
};
struct PoolAttributes {
  int window = 2, stride = 2, padding = 0;
  bool operator==(const PoolAttributes&) const = default;
};
struct ShortcutAttributes {
  std::int64_t before = 0, after = 0;
  bool pool = false;
  bool operator==(const ShortcutAttributes&) const = default;
};
struct DropoutAttributes {
  float rate = 0.5f;
  bool operator==(const DropoutAttributes&) const = default;
};
using Attributes = std::variant<std::monostate, ConvAttributes, LinearAttributes, BatchNormAttributes,
                                ReluAttributes, PoolAttributes, ShortcutAttributes, DropoutAttributes>;

struct GraphNode {
  OpKind kind = OpKind::kInput;
  std::string name;         // unique; parameters are "<name>.weight", ...
  std::vector<int> inputs;  // indices of earlier nodes
  Attributes attributes;
  std::string weights_of = {};  // an earlier node whose parameters and running statistics this one uses; "": its own
  const std::string& weights_name() const { return weights_of.empty() ? name : weights_of; }
  bool operator==(const GraphNode&) const = default;
};

struct Graph {
  std::string architecture;  // "resnet20"; what it was built as, for people
  FeatureShape input;
  std::vector<GraphNode> nodes;  // node 0 is the input
  int output = 0;
  std::vector<int> more_outputs = {};  // of a network with several heads
  bool operator==(const Graph&) const = default;

  // `output` and then `more_outputs`.
  std::vector<int> outputs() const {
    std::vector<int> all = {output};
    all.insert(all.end(), more_outputs.begin(), more_outputs.end());
    return all;
  }

  const GraphNode& at(int index) const { return nodes[static_cast<std::size_t>(index)]; }
  GraphNode& at(int index) { return nodes[static_cast<std::size_t>(index)]; }
  int size() const { return static_cast<int>(nodes.size()); }
  // Index of the node called `name`; throws Error if there is none.
  int find(std::string_view name) const;
};

// The shape behind every node. Throws Error, naming the node, where operations do not fit together: wrong number of
// inputs, an input that is not an earlier node, channels that disagree, a duplicate or empty name.
std::vector<FeatureShape> infer_shapes(const Graph& graph);

// The same rules, one node at a time: for who writes a graph and wants a wrong layer named where it is written.
class ShapeInference {
 public:
  explicit ShapeInference(const FeatureShape& input) : shapes_{input}, names_{"input"} {}
  // The shape behind `node`, which becomes the next node. After an Error everything is as before.
  const FeatureShape& append(const GraphNode& node);
  const std::vector<FeatureShape>& shapes() const { return shapes_; }

 private:
  std::vector<FeatureShape> shapes_;
  std::unordered_set<std::string> names_;
};

// Indices of the nodes that read each node.
std::vector<std::vector<int>> consumers_of(const Graph& graph);

}  // namespace hinge
