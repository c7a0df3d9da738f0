// Numbers of fields and types are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), what the
// operators mean is in https://onnx.ai/onnx/operators. onnx.checker and ONNX Runtime judge the result in the tests.
#include "engine/nn/onnx_file.h"

#include <algorithm>
#include <limits>

#include "engine/io/file.h"
#include "engine/io/protobuf.h"
#include "engine/io/safetensors.h"

namespace hinge {
namespace {

using io::ProtoMessage;

constexpr int kIrVersion = 8;  // the one that came with opset 17
constexpr std::int64_t kFloat = 1, kInt64 = 7;
constexpr std::size_t kMostBytes = (std::size_t{1} << 31) - 1;

ProtoMessage attribute(std::string_view name, std::int64_t value) {
  return ProtoMessage().text(1, name).integer(3, value).integer(20, 2);
}
ProtoMessage attribute(std::string_view name, float value) {
  return ProtoMessage().text(1, name).real(2, value).integer(20, 1);
}
ProtoMessage attribute(std::string_view name, const std::vector<std::int64_t>& values) {
  ProtoMessage message;
  message.text(1, name);
  for (std::int64_t value : values) message.integer(8, value);
  return message.integer(20, 7);
}

ProtoMessage tensor(const std::string& name, std::int64_t type, std::span<const std::int64_t> extents, std::span<const std::byte> elements) {
  ProtoMessage message;
  for (std::int64_t extent : extents) message.integer(1, extent);
  return message.integer(2, type).text(8, name).bytes(9, elements);
}

// A float value whose first extent is the batch.
ProtoMessage value_info(const std::string& name, const std::vector<std::int64_t>& extents) {
  ProtoMessage shape;
  shape.message(1, ProtoMessage().text(2, "N"));
  for (std::int64_t extent : extents) shape.message(1, ProtoMessage().integer(1, extent));
  const ProtoMessage type = ProtoMessage().message(1, ProtoMessage().integer(1, kFloat).message(2, shape));
  return ProtoMessage().text(1, name).message(2, type);
}

class Writer {
 public:
  explicit Writer(const Network& network) : network_(network), graph_(network.graph()), shapes_(infer_shapes(graph_)) {}

  ProtoMessage write() {
    name_outputs();
    values_.push_back("input");
    flat_.push_back(false);
    for (index_ = 1; index_ < graph_.size(); ++index_) {
      const auto output = names_of_outputs_.find(index_);
      values_.push_back(output == names_of_outputs_.end() ? "/" + graph_.at(index_).name : output->second);
      flat_.push_back(is_flat(graph_.at(index_)));
      write_node(graph_.at(index_));
    }
    ProtoMessage message;
    message.text(2, graph_.architecture);
    write_outputs();
    for (const ProtoMessage& node : nodes_) message.message(1, node);
    for (const auto& [name, initializer] : initializers_) message.message(5, initializer);
    message.message(11, value_info("input", {graph_.input.c, graph_.input.h, graph_.input.w}));
    for (const ProtoMessage& output : outputs_) message.message(12, output);
    return message;
  }

 private:
  // Is the value [N, C] rather than [N, C, H, W]?
  bool is_flat(const GraphNode& node) const {
    return node.kind == OpKind::kFlatten || node.kind == OpKind::kLinear || flat_[static_cast<std::size_t>(node.inputs[0])];
  }
  const std::string& value(int node) const { return values_[static_cast<std::size_t>(node)]; }
  std::vector<std::string> inputs_of(const GraphNode& node) const {
    std::vector<std::string> names;
    for (int input : node.inputs) names.push_back(value(input));
    return names;
  }

  void emit(const std::string& name, const char* op, const std::vector<std::string>& inputs, const std::string& output,
            const std::vector<ProtoMessage>& attributes = {}) {
    ProtoMessage node;
    for (const std::string& input : inputs) node.text(1, input);
    node.text(2, output).text(3, name).text(4, op);
    for (const ProtoMessage& a : attributes) node.message(5, a);
    nodes_.push_back(std::move(node));
  }
  // The node's main operation: its name, its value.
  void emit(const GraphNode& node, const char* op, const std::vector<std::string>& inputs, const std::vector<ProtoMessage>& attributes = {}) {
    emit(node.name, op, inputs, value(index_), attributes);
  }

  // A parameter or buffer, in the file once however many layers use it. Returns its name.
  std::string weight(const GraphNode& node, const char* suffix) {
    const std::string name = node.weights_name() + suffix;
    if (initializers_.contains(name)) return name;
    const Tensor stored = network_.value(name);
    const Tensor t = stored.shape().rank() == 4 ? filters_to_file_layout(stored) : stored;
    initializers_.emplace(name, tensor(name, kFloat, t.shape().extents(), io::bytes_of(t)));
    return name;
  }
  std::string constant(const GraphNode& node, const char* suffix, const std::vector<std::int64_t>& values) {
    const std::string name = "/" + node.name + suffix;
    const std::int64_t count = std::ssize(values);
    initializers_.emplace(name, tensor(name, kInt64, std::span(&count, 1), std::as_bytes(std::span(values))));
    return name;
  }
  std::string constant(const GraphNode& node, const char* suffix, float scalar) {
    const std::string name = "/" + node.name + suffix;
    initializers_.emplace(name, tensor(name, kFloat, {}, std::as_bytes(std::span(&scalar, 1))));
    return name;
  }

  void write_node(const GraphNode& node) {
    const std::string& x = value(node.inputs[0]);
    switch (node.kind) {
      case OpKind::kInput: fail("onnx: a second input, '{}'", node.name);
      case OpKind::kConv2d: return write_conv(node);
      case OpKind::kLinear: return write_linear(node);
      case OpKind::kBatchNorm: {
        // ONNX's momentum is the share that stays, PyTorch's the share that comes.
        const auto& a = std::get<BatchNormAttributes>(node.attributes);
        return emit(node, "BatchNormalization", {x, weight(node, ".weight"), weight(node, ".bias"), weight(node, ".running_mean"), weight(node, ".running_var")},
                    {attribute("epsilon", a.epsilon), attribute("momentum", 1.0f - a.momentum)});
      }
      case OpKind::kRelu: {
        const float ceiling = std::get<ReluAttributes>(node.attributes).ceiling;
        if (ceiling == 0.0f) return emit(node, "Relu", {x});
        return emit(node, "Clip", {x, constant(node, ".min", 0.0f), constant(node, ".max", ceiling)});
      }
      case OpKind::kAdd: return emit(node, "Add", inputs_of(node));
      case OpKind::kConcat: return emit(node, "Concat", inputs_of(node), {attribute("axis", std::int64_t{1})});
      case OpKind::kMaxPool:
      case OpKind::kAveragePool: {
        const auto& a = std::get<PoolAttributes>(node.attributes);
        std::vector<ProtoMessage> attributes = {attribute("kernel_shape", {a.window, a.window}), attribute("strides", {a.stride, a.stride}),
                                                attribute("pads", {a.padding, a.padding, a.padding, a.padding})};
        if (node.kind == OpKind::kMaxPool) return emit(node, "MaxPool", {x}, attributes);
        attributes.push_back(attribute("count_include_pad", std::int64_t{1}));  // as PyTorch's default
        return emit(node, "AveragePool", {x}, attributes);
      }
      case OpKind::kGlobalAveragePool: return emit(node, "GlobalAveragePool", {x});
      case OpKind::kShortcutA: return write_shortcut(node);
      case OpKind::kFlatten: return emit(node, "Flatten", {x}, {attribute("axis", std::int64_t{1})});
      case OpKind::kDropout:
        values_.back() = x;
        return;
    }
    fail("onnx: node '{}' has no counterpart", node.name);
  }

  void write_conv(const GraphNode& node) {
    const auto& a = std::get<ConvAttributes>(node.attributes);
    std::vector<std::string> inputs = {value(node.inputs[0]), weight(node, ".weight")};
    if (a.bias) inputs.push_back(weight(node, ".bias"));
    emit(node, "Conv", inputs,
         {attribute("kernel_shape", {a.kernel_h, a.kernel_w}), attribute("strides", {a.stride, a.stride}),
          attribute("pads", {a.padding, a.padding, a.padding, a.padding}), attribute("group", std::int64_t{a.groups})});
  }

  void write_linear(const GraphNode& node) {
    std::vector<std::string> inputs = {value(node.inputs[0]), weight(node, ".weight")};
    if (!flat_[static_cast<std::size_t>(node.inputs[0])]) {  // [N, C, 1, 1]
      emit(node.name + ".flatten", "Flatten", {inputs[0]}, "/" + node.name + ".flatten", {attribute("axis", std::int64_t{1})});
      inputs[0] = "/" + node.name + ".flatten";
    }
    if (std::get<LinearAttributes>(node.attributes).bias) inputs.push_back(weight(node, ".bias"));
    emit(node, "Gemm", inputs, {attribute("transB", std::int64_t{1})});
  }

  // Every second pixel, or the mean of 2x2 pixels; then channels of zeros on both sides.
  void write_shortcut(const GraphNode& node) {
    const auto& a = std::get<ShortcutAttributes>(node.attributes);
    const bool padded = a.before > 0 || a.after > 0;
    const std::string& x = value(node.inputs[0]);
    const std::string smaller = padded ? "/" + node.name + ".smaller" : value(index_);
    const std::string name = padded ? node.name + ".smaller" : node.name;
    if (a.pool) {
      emit(name, "AveragePool", {x}, smaller, {attribute("kernel_shape", {2, 2}), attribute("strides", {2, 2})});
    } else {
      constexpr std::int64_t kToTheEnd = std::numeric_limits<std::int64_t>::max();
      emit(name, "Slice", {x, constant(node, ".starts", {0, 0}), constant(node, ".ends", {kToTheEnd, kToTheEnd}), constant(node, ".axes", {2, 3}), constant(node, ".steps", {2, 2})},
           smaller);
    }
    if (padded) emit(node, "Pad", {smaller, constant(node, ".pads", {0, a.before, 0, 0, 0, a.after, 0, 0})});
  }

  // The first output has the same name in every network. Other values get a slash: no output's or weight's name has one
  // in front.
  void name_outputs() {
    for (int output : graph_.outputs()) {
      const std::string name = names_of_outputs_.empty() ? "logits" : graph_.at(output).name;
      require(names_of_outputs_.emplace(output, name).second && (names_of_outputs_.size() == 1 || name != "logits"),
              "onnx: two outputs are called '{}'", name);
    }
  }
  void write_outputs() {
    for (const auto& [output, name] : names_of_outputs_) {
      // Behind a dropout, which writes no operation.
      if (value(output) != name) emit(name, "Identity", {value(output)}, name);
      const FeatureShape& shape = shapes_[static_cast<std::size_t>(output)];
      outputs_.push_back(flat_[static_cast<std::size_t>(output)] ? value_info(name, {shape.c}) : value_info(name, {shape.c, shape.h, shape.w}));
    }
  }

  const Network& network_;
  const Graph& graph_;
  const std::vector<FeatureShape> shapes_;
  int index_ = 0;                                // of the node that is being written
  std::vector<std::string> values_;              // [node]: the name of its value
  std::vector<bool> flat_;                       // [node]
  std::map<int, std::string> names_of_outputs_;  // by node
  std::vector<ProtoMessage> nodes_, outputs_;
  std::map<std::string, ProtoMessage> initializers_;
};

}  // namespace

std::string onnx_bytes(const Network& network, const OnnxOptions& options) {
  ProtoMessage model;
  model.integer(1, kIrVersion).text(2, "hinge");
  if (!options.producer_version.empty()) model.text(3, options.producer_version);
  model.message(7, Writer(network).write()).message(8, ProtoMessage().text(1, "").integer(2, kOnnxOpset));
  for (const auto& [key, value] : options.metadata) model.message(14, ProtoMessage().text(1, key).text(2, value));
  require(model.encoded().size() <= kMostBytes, "onnx: the network takes {} bytes, protobuf allows {}", model.encoded().size(), kMostBytes);
  return model.encoded();
}

void write_onnx(const std::filesystem::path& path, const Network& network, const OnnxOptions& options) {
  io::write_file_atomically(path, onnx_bytes(network, options));
}

}  // namespace hinge
