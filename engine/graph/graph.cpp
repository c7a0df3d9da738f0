#include "engine/graph/graph.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>

namespace hinge {
namespace {

constexpr std::array<std::string_view, kOpKinds> kNames = {
    "input", "conv2d", "linear", "batch_norm", "relu", "add", "concat", "max_pool", "average_pool",
    "global_average_pool", "shortcut_a", "flatten", "dropout"};

constexpr std::int64_t kMaxExtent = 1 << 24;
// Of a picture and of a layer's weights: their product, the multiply-adds, then fits into 64 bits.
constexpr std::int64_t kMaxElements = 1 << 28;

bool has_at_most(std::int64_t limit, std::initializer_list<std::int64_t> extents) {
  for (std::int64_t extent : extents) limit /= std::max<std::int64_t>(extent, 1);
  return limit >= 1;
}

void check_size(const FeatureShape& shape, std::string_view name) {
  require(has_at_most(kMaxElements, {shape.h, shape.w, shape.c}), "graph: '{}' makes {}x{}x{}: more than {} elements",
          name, shape.h, shape.w, shape.c, kMaxElements);
}

void check_input(const FeatureShape& input) {
  for (std::int64_t extent : {input.h, input.w, input.c}) {
    require(extent >= 1 && extent <= kMaxExtent, "graph: the input is {}x{}x{}", input.h, input.w, input.c);
  }
  check_size(input, "input");
}

class ShapeRule {
 public:
  ShapeRule(const GraphNode& node, const std::vector<FeatureShape>& shapes)
      : node_(node), shapes_(shapes) {}

  FeatureShape infer() const {
    switch (node_.kind) {
      case OpKind::kInput: return fail_node("an input can only be the first node");
      case OpKind::kConv2d: return conv();
      case OpKind::kLinear: return linear();
      case OpKind::kBatchNorm: return batch_norm();
      case OpKind::kRelu: return relu();
      case OpKind::kDropout: return attributes<DropoutAttributes>(), only_input();
      case OpKind::kAdd: return add();
      case OpKind::kConcat: return concat();
      case OpKind::kMaxPool:
      case OpKind::kAveragePool: return pool();
      case OpKind::kGlobalAveragePool: return global_average_pool();
      case OpKind::kShortcutA: return shortcut();
      case OpKind::kFlatten: return {1, 1, only_input().size()};
    }
    return fail_node("unknown operation");
  }

 private:
  template <class... Args>
  void expect(bool condition, fmt::format_string<Args...> message, Args&&... args) const {
    if (!condition) fail_node(fmt::format(message, std::forward<Args>(args)...));
  }
  FeatureShape fail_node(const std::string& why) const {
    fail("graph: {} '{}': {}", name_of(node_.kind), node_.name, why);
  }
  template <class T>
  const T& attributes() const {
    const T* found = std::get_if<T>(&node_.attributes);
    if (found == nullptr) fail_node("its attributes are missing or of another operation");
    return *found;
  }
  FeatureShape input(std::size_t i) const { return shapes_[static_cast<std::size_t>(node_.inputs[i])]; }
  FeatureShape only_input() const {
    expect(node_.inputs.size() == 1, "{} inputs, expected 1", node_.inputs.size());
    return input(0);
  }
  void check_extent(const char* what, std::int64_t value, std::int64_t least) const {
    expect(value >= least && value <= kMaxExtent, "{} is {}, expected {} to {}", what, value, least,
           kMaxExtent);
  }
  FeatureShape windowed(const FeatureShape& in, std::int64_t window_h, std::int64_t window_w,
                        int stride, int padding, std::int64_t channels) const {
    check_extent("window", window_h, 1);
    check_extent("window", window_w, 1);
    check_extent("stride", stride, 1);
    check_extent("padding", padding, 0);
    expect(in.h + 2 * padding >= window_h && in.w + 2 * padding >= window_w,
           "its {}x{} window is larger than the padded {}x{} input", window_h, window_w,
           in.h + 2 * padding, in.w + 2 * padding);
    return {(in.h + 2 * padding - window_h) / stride + 1, (in.w + 2 * padding - window_w) / stride + 1,
            channels};
  }

  FeatureShape conv() const {
    const auto& a = attributes<ConvAttributes>();
    const FeatureShape in = only_input();
    check_extent("in", a.in, 1);
    check_extent("out", a.out, 1);
    check_extent("groups", a.groups, 1);
    expect(in.c == a.in, "takes {} channels, its input has {}", a.in, in.c);
    expect(a.in % a.groups == 0 && a.out % a.groups == 0, "{} to {} channels in {} groups", a.in,
           a.out, a.groups);
    expect(has_at_most(kMaxElements, {a.out, a.kernel_h, a.kernel_w, a.in / a.groups}),
           "{} filters of {}x{}x{}: more than {} weights", a.out, a.kernel_h, a.kernel_w,
           a.in / a.groups, kMaxElements);
    return windowed(in, a.kernel_h, a.kernel_w, a.stride, a.padding, a.out);
  }
  FeatureShape linear() const {
    const auto& a = attributes<LinearAttributes>();
    const FeatureShape in = only_input();
    check_extent("in", a.in, 1);
    check_extent("out", a.out, 1);
    expect(in.h == 1 && in.w == 1 && in.c == a.in, "takes {} features, its input is {}x{}x{}", a.in,
           in.h, in.w, in.c);
    expect(has_at_most(kMaxElements, {a.in, a.out}), "{} to {} features: more than {} weights", a.in,
           a.out, kMaxElements);
    return {1, 1, a.out};
  }
  FeatureShape batch_norm() const {
    const auto& a = attributes<BatchNormAttributes>();
    const FeatureShape in = only_input();
    expect(in.c == a.channels, "has {} channels, its input has {}", a.channels, in.c);
    expect(a.epsilon > 0.0f && a.epsilon < 1.0f, "epsilon is {}", a.epsilon);
    expect(a.momentum >= 0.0f && a.momentum <= 1.0f, "momentum is {}, expected 0 to 1", a.momentum);
    return in;
  }
  FeatureShape relu() const {
    const float ceiling = attributes<ReluAttributes>().ceiling;
    expect(ceiling >= 0.0f && std::isfinite(ceiling), "ceiling is {}, expected 0 (none) or a number above", ceiling);
    return only_input();
  }
  FeatureShape add() const {
    expect(node_.inputs.size() == 2, "{} inputs, expected 2", node_.inputs.size());
    const FeatureShape a = input(0), b = input(1);
    expect(a == b, "its inputs differ: {}x{}x{} and {}x{}x{}", a.h, a.w, a.c, b.h, b.w, b.c);
    return a;
  }
  FeatureShape concat() const {
    expect(!node_.inputs.empty(), "no inputs");
    FeatureShape total = input(0);
    for (std::size_t i = 1; i < node_.inputs.size(); ++i) {
      const FeatureShape part = input(i);
      expect(part.h == total.h && part.w == total.w, "pictures of {}x{} and {}x{}", total.h, total.w,
             part.h, part.w);
      total.c += part.c;
    }
    check_extent("channels", total.c, 1);
    return total;
  }
  FeatureShape pool() const {
    const auto& a = attributes<PoolAttributes>();
    const FeatureShape in = only_input();
    expect(2 * a.padding <= a.window, "padding {} of a window of {}", a.padding, a.window);
    return windowed(in, a.window, a.window, a.stride, a.padding, in.c);
  }
  FeatureShape global_average_pool() const {
    const FeatureShape in = only_input();
    expect(in.h == in.w, "its input is {}x{}, expected a square", in.h, in.w);
    return {1, 1, in.c};
  }
  FeatureShape shortcut() const {
    const auto& a = attributes<ShortcutAttributes>();
    const FeatureShape in = only_input();
    check_extent("before", a.before, 0);
    check_extent("after", a.after, 0);
    const FeatureShape out{a.pool ? in.h / 2 : (in.h + 1) / 2, a.pool ? in.w / 2 : (in.w + 1) / 2,
                           a.before + in.c + a.after};
    expect(out.h >= 1 && out.w >= 1, "its {}x{} input can't be halved", in.h, in.w);
    return out;
  }

  const GraphNode& node_;
  const std::vector<FeatureShape>& shapes_;
};

// A node that borrows weights does what their owner does.
void check_sharing(const Graph& graph, int index) {
  const GraphNode& node = graph.at(index);
  for (int i = 1; i < index; ++i) {
    const GraphNode& owner = graph.at(i);
    if (owner.name != node.weights_of) continue;
    require(owner.weights_of.empty() && owner.kind == node.kind && owner.attributes == node.attributes,
            "graph: '{}' has the weights of '{}', which is another operation, has other attributes or none of its own",
            node.name, node.weights_of);
    return;
  }
  fail("graph: '{}' has the weights of '{}', which no earlier node is called", node.name, node.weights_of);
}

}  // namespace

std::string_view name_of(OpKind kind) { return kNames[static_cast<std::size_t>(kind)]; }

OpKind op_kind_of(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<OpKind>(i);
  }
  fail("graph: unknown operation '{}' (known: {})", name, fmt::join(kNames, ", "));
}

int Graph::find(std::string_view name) const {
  for (int i = 0; i < size(); ++i) {
    if (at(i).name == name) return i;
  }
  fail("graph: no node is called '{}'", name);
}

const FeatureShape& ShapeInference::append(const GraphNode& node) {
  check_input(shapes_[0]);
  const int index = static_cast<int>(shapes_.size());
  require(!node.name.empty() && !names_.contains(node.name),
          "graph: the name '{}' of node {} is empty or used twice", node.name, index);
  for (int input : node.inputs) {
    require(input >= 0 && input < index, "graph: '{}' (node {}) reads node {}, expected an earlier one", node.name,
            index, input);
  }
  const FeatureShape shape = ShapeRule(node, shapes_).infer();
  check_size(shape, node.name);
  names_.insert(node.name);
  shapes_.push_back(shape);
  return shapes_.back();
}

std::vector<FeatureShape> infer_shapes(const Graph& graph) {
  require(!graph.nodes.empty() && graph.nodes[0].kind == OpKind::kInput,
          "graph: the first node must be the input");
  for (int output : graph.outputs()) {
    require(output >= 0 && output < graph.size(), "graph: output {} of {} nodes", output, graph.size());
  }
  check_input(graph.input);
  ShapeInference inference(graph.input);
  for (int i = 1; i < graph.size(); ++i) {
    if (!graph.at(i).weights_of.empty()) check_sharing(graph, i);
    inference.append(graph.at(i));
  }
  return inference.shapes();
}

std::vector<std::vector<int>> consumers_of(const Graph& graph) {
  std::vector<std::vector<int>> consumers(graph.nodes.size());
  for (int i = 0; i < graph.size(); ++i) {
    for (int input : graph.at(i).inputs) consumers[static_cast<std::size_t>(input)].push_back(i);
  }
  return consumers;
}

}  // namespace hinge
