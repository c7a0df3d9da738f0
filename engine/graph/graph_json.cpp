#include "engine/graph/graph_json.h"

#include <map>
#include <nlohmann/json.hpp>

namespace hinge {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;
constexpr const char* kFormat = "hinge-graph-1";

template <class T>
T read(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  require(found != object.end(), "graph: {}: '{}' is missing", where, key);
  if constexpr (std::is_same_v<T, bool>) {
    require(found->is_boolean(), "graph: {}: '{}' is {}, expected true or false", where, key, found->dump());
  } else if constexpr (std::is_integral_v<T>) {
    require(found->is_number_integer(), "graph: {}: '{}' is {}, expected a whole number", where, key,
            found->dump());
    const auto value = found->template get<std::int64_t>();
    require(value >= 0 && value <= (1 << 24), "graph: {}: '{}' is {}, out of range", where, key, value);
  } else if constexpr (std::is_floating_point_v<T>) {
    require(found->is_number(), "graph: {}: '{}' is {}, expected a number", where, key, found->dump());
  } else {
    require(found->is_string(), "graph: {}: '{}' is {}, expected a string", where, key, found->dump());
  }
  return found->template get<T>();
}

// One visitor for writing and one for reading: each attribute is named once per direction, here.
void write_attributes(const Attributes& attributes, OrderedJson& out) {
  if (const auto* conv = std::get_if<ConvAttributes>(&attributes)) {
    out["in"] = conv->in, out["out"] = conv->out;
    out["kernel"] = {conv->kernel_h, conv->kernel_w};
    out["stride"] = conv->stride, out["padding"] = conv->padding, out["groups"] = conv->groups;
    out["bias"] = conv->bias;
  } else if (const auto* linear = std::get_if<LinearAttributes>(&attributes)) {
    out["in"] = linear->in, out["out"] = linear->out, out["bias"] = linear->bias;
  } else if (const auto* norm = std::get_if<BatchNormAttributes>(&attributes)) {
    out["channels"] = norm->channels, out["epsilon"] = norm->epsilon, out["momentum"] = norm->momentum;
  } else if (const auto* relu = std::get_if<ReluAttributes>(&attributes)) {
    out["functional"] = relu->functional;
    if (relu->ceiling != 0.0f) out["ceiling"] = relu->ceiling;  // absent in files of before it existed
  } else if (const auto* pool = std::get_if<PoolAttributes>(&attributes)) {
    out["window"] = pool->window, out["stride"] = pool->stride, out["padding"] = pool->padding;
  } else if (const auto* shortcut = std::get_if<ShortcutAttributes>(&attributes)) {
    out["before"] = shortcut->before, out["after"] = shortcut->after, out["pool"] = shortcut->pool;
  } else if (const auto* dropout = std::get_if<DropoutAttributes>(&attributes)) {
    out["rate"] = dropout->rate;
  }
}

Attributes read_attributes(OpKind kind, const Json& in, const std::string& where) {
  switch (kind) {
    case OpKind::kConv2d: {
      const auto kernel = in.find("kernel");
      require(kernel != in.end() && kernel->is_array() && kernel->size() == 2 &&
                  (*kernel)[0].is_number_integer() && (*kernel)[1].is_number_integer(),
              "graph: {}: 'kernel' must be [height, width]", where);
      const auto kernel_h = (*kernel)[0].get<std::int64_t>(), kernel_w = (*kernel)[1].get<std::int64_t>();
      require(kernel_h >= 1 && kernel_h <= 1024 && kernel_w >= 1 && kernel_w <= 1024,
              "graph: {}: kernel {}x{} is out of range", where, kernel_h, kernel_w);
      return ConvAttributes{.in = read<std::int64_t>(in, "in", where),
                            .out = read<std::int64_t>(in, "out", where),
                            .kernel_h = static_cast<int>(kernel_h),
                            .kernel_w = static_cast<int>(kernel_w),
                            .stride = read<int>(in, "stride", where),
                            .padding = read<int>(in, "padding", where),
                            .groups = read<int>(in, "groups", where),
                            .bias = read<bool>(in, "bias", where)};
    }
    case OpKind::kLinear:
      return LinearAttributes{.in = read<std::int64_t>(in, "in", where),
                              .out = read<std::int64_t>(in, "out", where),
                              .bias = read<bool>(in, "bias", where)};
    case OpKind::kBatchNorm:
      return BatchNormAttributes{.channels = read<std::int64_t>(in, "channels", where),
                                 .epsilon = read<float>(in, "epsilon", where),
                                 .momentum = read<float>(in, "momentum", where)};
    case OpKind::kRelu:
      return ReluAttributes{.functional = read<bool>(in, "functional", where),
                            .ceiling = in.contains("ceiling") ? read<float>(in, "ceiling", where) : 0.0f};
    case OpKind::kMaxPool:
    case OpKind::kAveragePool:
      return PoolAttributes{.window = read<int>(in, "window", where),
                            .stride = read<int>(in, "stride", where),
                            .padding = read<int>(in, "padding", where)};
    case OpKind::kShortcutA:
      return ShortcutAttributes{.before = read<std::int64_t>(in, "before", where),
                                .after = read<std::int64_t>(in, "after", where),
                                .pool = read<bool>(in, "pool", where)};
    case OpKind::kDropout: {
      const DropoutAttributes dropout{read<float>(in, "rate", where)};
      require(dropout.rate >= 0.0f && dropout.rate < 1.0f, "graph: {}: rate {} is not in [0, 1)", where,
              dropout.rate);
      return dropout;
    }
    default: return {};
  }
}

}  // namespace

OrderedJson graph_to_json(const Graph& graph) {
  OrderedJson out;
  out["format"] = kFormat;
  out["architecture"] = graph.architecture;
  out["input"] = {graph.input.h, graph.input.w, graph.input.c};
  out["output"] = graph.at(graph.output).name;
  for (int output : graph.more_outputs) out["more_outputs"].push_back(graph.at(output).name);
  OrderedJson nodes = OrderedJson::array();
  for (const GraphNode& node : graph.nodes) {
    if (node.kind == OpKind::kInput) continue;
    OrderedJson entry;
    entry["op"] = std::string(name_of(node.kind));
    entry["name"] = node.name;
    OrderedJson inputs = OrderedJson::array();
    for (int input : node.inputs) inputs.push_back(graph.at(input).name);
    entry["inputs"] = inputs;
    if (!node.weights_of.empty()) entry["weights_of"] = node.weights_of;
    write_attributes(node.attributes, entry);
    nodes.push_back(entry);
  }
  out["nodes"] = nodes;
  return out;
}

Graph graph_from_json(const Json& json) {
  require(json.is_object(), "graph: expected a JSON object");
  const auto format = read<std::string>(json, "format", "header");
  require(format == kFormat, "graph: format is '{}', expected '{}'", format, kFormat);
  Graph graph;
  graph.architecture = read<std::string>(json, "architecture", "header");
  const auto input = json.find("input");
  require(input != json.end() && input->is_array() && input->size() == 3,
          "graph: 'input' must be [height, width, channels]");
  for (const Json& extent : *input) {
    require(extent.is_number_integer(), "graph: 'input' holds {}, expected whole numbers", extent.dump());
  }
  graph.input = {(*input)[0].get<std::int64_t>(), (*input)[1].get<std::int64_t>(),
                 (*input)[2].get<std::int64_t>()};
  graph.nodes.push_back({OpKind::kInput, "input", {}, {}});

  std::map<std::string, int> index_of = {{"input", 0}};
  const auto lookup = [&](const std::string& name, const std::string& where) {
    const auto found = index_of.find(name);
    require(found != index_of.end(), "graph: {}: reads '{}', which no earlier node is called", where, name);
    return found->second;
  };
  const auto nodes = json.find("nodes");
  require(nodes != json.end() && nodes->is_array(), "graph: 'nodes' must be an array");
  for (const Json& entry : *nodes) {
    require(entry.is_object(), "graph: a node is {}, expected an object", entry.dump());
    GraphNode node;
    node.name = read<std::string>(entry, "name", "a node");
    node.kind = op_kind_of(read<std::string>(entry, "op", node.name));
    const auto inputs = entry.find("inputs");
    require(inputs != entry.end() && inputs->is_array(), "graph: {}: 'inputs' must be an array", node.name);
    for (const Json& name : *inputs) {
      require(name.is_string(), "graph: {}: an input is {}, expected a name", node.name, name.dump());
      node.inputs.push_back(lookup(name.get<std::string>(), node.name));
    }
    if (entry.contains("weights_of")) node.weights_of = read<std::string>(entry, "weights_of", node.name);
    node.attributes = read_attributes(node.kind, entry, node.name);
    require(index_of.emplace(node.name, graph.size()).second, "graph: the name '{}' is used twice",
            node.name);
    graph.nodes.push_back(std::move(node));
  }
  graph.output = lookup(read<std::string>(json, "output", "header"), "output");
  if (const auto more = json.find("more_outputs"); more != json.end()) {
    require(more->is_array(), "graph: 'more_outputs' must be an array");
    for (const Json& name : *more) {
      require(name.is_string(), "graph: an output is {}, expected a name", name.dump());
      graph.more_outputs.push_back(lookup(name.get<std::string>(), "more_outputs"));
    }
  }
  infer_shapes(graph);
  return graph;
}

}  // namespace hinge
