#include "engine/nn/network.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/ops/batch_norm.h"
#include "engine/ops/cast.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/linear.h"
#include "engine/ops/pooling.h"

namespace hinge {

Network::Network(Graph graph) : graph_(std::move(graph)) {
  infer_shapes(graph_);
  const auto add_parameter = [this](const std::string& name, ParameterKind kind, Tensor value) {
    parameter_index_[name] = parameters_.size();
    parameters_.push_back(std::make_unique<Parameter>(Parameter{name, kind, make_leaf(value)}));
  };
  const auto add_buffer = [this](const std::string& name, Tensor value) {
    buffer_index_[name] = buffers_.size();
    buffers_.push_back(std::make_unique<Buffer>(Buffer{name, std::move(value)}));
  };
  for (const GraphNode& node : graph_.nodes) {
    if (!node.weights_of.empty()) continue;
    if (const auto* conv = std::get_if<ConvAttributes>(&node.attributes)) {
      add_parameter(node.name + ".weight", ParameterKind::kConvWeight,
                    Tensor::zeros({conv->out, conv->kernel_h, conv->kernel_w, conv->in / conv->groups}));
      if (conv->bias) add_parameter(node.name + ".bias", ParameterKind::kBias, Tensor::zeros({conv->out}));
    } else if (const auto* linear = std::get_if<LinearAttributes>(&node.attributes)) {
      add_parameter(node.name + ".weight", ParameterKind::kLinearWeight,
                    Tensor::zeros({linear->out, linear->in}));
      if (linear->bias) add_parameter(node.name + ".bias", ParameterKind::kBias, Tensor::zeros({linear->out}));
    } else if (const auto* norm = std::get_if<BatchNormAttributes>(&node.attributes)) {
      add_parameter(node.name + ".weight", ParameterKind::kNormScale, Tensor::full({norm->channels}, 1.0f));
      add_parameter(node.name + ".bias", ParameterKind::kNormShift, Tensor::zeros({norm->channels}));
      add_buffer(node.name + ".running_mean", Tensor::zeros({norm->channels}));
      add_buffer(node.name + ".running_var", Tensor::full({norm->channels}, 1.0f));
    }
  }
  plan_steps();
}

// BatchNorm -> ReLU and BatchNorm -> add -> ReLU become one step where nobody else reads what lies between.
void Network::plan_steps() {
  const auto consumers = consumers_of(graph_);
  const auto is_output = [outputs = graph_.outputs()](int node) {
    return std::find(outputs.begin(), outputs.end(), node) != outputs.end();
  };
  const auto only_consumer = [&](int node) {
    const auto& readers = consumers[static_cast<std::size_t>(node)];
    return readers.size() == 1 && !is_output(node) ? readers[0] : -1;
  };
  const auto is = [&](int node, OpKind kind) { return node >= 0 && graph_.at(node).kind == kind; };

  std::vector<bool> folded(graph_.nodes.size(), false);
  for (int i = 1; i < graph_.size(); ++i) {
    if (folded[static_cast<std::size_t>(i)]) continue;
    Step step;
    step.node = step.operation = i;
    if (is(i, OpKind::kBatchNorm)) {
      const auto fold = [&](int next) {
        folded[static_cast<std::size_t>(next)] = true;
        step.node = next;
      };
      if (const int next = only_consumer(i); is(next, OpKind::kAdd)) {
        const auto& inputs = graph_.at(next).inputs;
        const int other = inputs[0] == i ? inputs[1] : inputs[0];
        if (other < i) step.residual = other, fold(next);  // the residual exists when the BatchNorm runs
      }
      // BatchNorm's pass has no ceiling: a ReLU with one runs by itself.
      const auto is_plain_relu = [&](int node) {
        return is(node, OpKind::kRelu) && std::get<ReluAttributes>(graph_.at(node).attributes).ceiling == 0.0f;
      };
      if (const int next = only_consumer(step.node); is_plain_relu(next)) step.relu = true, fold(next);
    }
    steps_.push_back(std::move(step));
  }
  // A value is let go of behind the last step that reads it.
  std::vector<int> last_use(graph_.nodes.size(), -1);
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    for (int input : graph_.at(steps_[s].operation).inputs) last_use[static_cast<std::size_t>(input)] = static_cast<int>(s);
    if (steps_[s].residual >= 0) last_use[static_cast<std::size_t>(steps_[s].residual)] = static_cast<int>(s);
  }
  for (int node = 0; node < graph_.size(); ++node) {
    const int use = last_use[static_cast<std::size_t>(node)];
    if (use >= 0 && !is_output(node)) steps_[static_cast<std::size_t>(use)].frees.push_back(node);
  }
}

Tensor Network::run_node(int index, std::span<const Tensor> inputs, const Behind& behind, const ForwardOptions& options,
                         const Stream& stream) {
  const GraphNode& node = graph_.at(index);
  const std::string& weights = node.weights_name();
  const auto input = [&](std::size_t i) -> const Tensor& { return inputs[i]; };
  const auto bias = [&](bool present) { return present ? parameter(weights + ".bias").value : Tensor(); };
  switch (node.kind) {
    case OpKind::kInput: break;
    case OpKind::kConv2d: {
      const auto& a = std::get<ConvAttributes>(node.attributes);
      return conv2d(input(0), cast(parameter(weights + ".weight").value, input(0).dtype(), stream), bias(a.bias),
                    {.stride = a.stride, .padding = a.padding, .groups = a.groups}, stream);
    }
    case OpKind::kLinear: {
      const Tensor x = cast(input(0), DType::kFloat32, stream);
      const auto& a = std::get<LinearAttributes>(node.attributes);
      return linear(x.shape().rank() == 2 ? x : flatten(x, stream), parameter(weights + ".weight").value,
                    bias(a.bias), stream);
    }
    case OpKind::kBatchNorm: {
      const auto& a = std::get<BatchNormAttributes>(node.attributes);
      const BatchNormState state{parameter(weights + ".weight").value, parameter(weights + ".bias").value,
                                 buffer(weights + ".running_mean").value,
                                 buffer(weights + ".running_var").value};
      return batch_norm(input(0), state, behind.residual,
                        {.training = options.training,
                         .momentum = a.momentum,
                         .epsilon = a.epsilon,
                         .relu = behind.relu,
                         .over = options.normalize_over},
                        stream);
    }
    case OpKind::kRelu: {
      const float ceiling = std::get<ReluAttributes>(node.attributes).ceiling;
      return ceiling > 0.0f ? capped_relu(input(0), ceiling, stream) : relu(input(0), stream);
    }
    case OpKind::kAdd: return add(input(0), input(1), stream);
    case OpKind::kConcat: return concat(inputs, stream);
    case OpKind::kMaxPool:
    case OpKind::kAveragePool: {
      const auto& a = std::get<PoolAttributes>(node.attributes);
      const PoolOptions pool{.window = a.window, .stride = a.stride, .padding = a.padding};
      return node.kind == OpKind::kMaxPool ? max_pool(input(0), pool, stream)
                                           : average_pool(input(0), pool, stream);
    }
    case OpKind::kGlobalAveragePool: return global_average_pool(input(0), stream);
    case OpKind::kShortcutA: {
      const auto& a = std::get<ShortcutAttributes>(node.attributes);
      return shortcut_a(input(0), {.before = a.before, .after = a.after, .pool = a.pool}, stream);
    }
    case OpKind::kFlatten: return flatten(cast(input(0), DType::kFloat32, stream), stream);
    case OpKind::kDropout: {
      const auto& a = std::get<DropoutAttributes>(node.attributes);
      if (!options.training || a.rate == 0.0f) return input(0);
      return dropout(input(0),
                     {.rate = a.rate,
                      .seed = options.seed,
                      .step = options.step,
                      .layer = static_cast<std::uint32_t>(index),
                      .first_image = options.first_image},
                     stream);
    }
  }
  fail("network: node '{}' can't run", node.name);
}

Tensor Network::forward(const Tensor& x, const ForwardOptions& options, const Stream& stream) {
  return forward_all(x, options, stream)[0];
}

std::vector<Tensor> Network::forward_all(const Tensor& x, const ForwardOptions& options, const Stream& stream) {
  require(x.shape().rank() == 4 && x.dim(1) == graph_.input.h && x.dim(2) == graph_.input.w &&
              x.dim(3) == graph_.input.c,
          "network {}: images are {}, expected [N, {}, {}, {}]", graph_.architecture, x.shape(),
          graph_.input.h, graph_.input.w, graph_.input.c);
  std::vector<Tensor> values(graph_.nodes.size());
  values[0] = cast(x, options.activations, stream);
  for (const Step& step : steps_) {
    std::vector<Tensor> inputs;
    for (int input : graph_.at(step.operation).inputs) inputs.push_back(values[static_cast<std::size_t>(input)]);
    const Tensor residual = step.residual >= 0 ? values[static_cast<std::size_t>(step.residual)] : Tensor();
    values[static_cast<std::size_t>(step.node)] = run_node(step.operation, inputs, {residual, step.relu}, options, stream);
    for (int freed : step.frees) values[static_cast<std::size_t>(freed)] = Tensor();
  }
  std::vector<Tensor> outputs;
  for (int output : graph_.outputs()) outputs.push_back(cast(values[static_cast<std::size_t>(output)], DType::kFloat32, stream));
  return outputs;
}

std::vector<Parameter*> Network::parameters() {
  std::vector<Parameter*> result;
  for (auto& parameter : parameters_) result.push_back(parameter.get());
  return result;
}

std::vector<Buffer*> Network::buffers() {
  std::vector<Buffer*> result;
  for (auto& buffer : buffers_) result.push_back(buffer.get());
  return result;
}

Parameter& Network::parameter(const std::string& name) {
  return const_cast<Parameter&>(std::as_const(*this).parameter(name));
}

const Parameter& Network::parameter(const std::string& name) const {
  const auto found = parameter_index_.find(name);
  require(found != parameter_index_.end(), "network {}: no parameter is called '{}'", graph_.architecture, name);
  return *parameters_[found->second];
}

Buffer& Network::buffer(const std::string& name) {
  const auto found = buffer_index_.find(name);
  require(found != buffer_index_.end(), "network {}: no buffer is called '{}'", graph_.architecture, name);
  return *buffers_[found->second];
}

Tensor Network::value(const std::string& name) const {
  if (const auto found = buffer_index_.find(name); found != buffer_index_.end()) return buffers_[found->second]->value;
  return parameter(name).value.detached();
}

std::map<std::string, Tensor> Network::values() const {
  std::map<std::string, Tensor> result;
  for (const auto& parameter : parameters_) result.emplace(parameter->name, parameter->value.detached());
  for (const auto& buffer : buffers_) result.emplace(buffer->name, buffer->value);
  return result;
}

void Network::set_values(const std::map<std::string, Tensor>& values) {
  std::string missing, extra, misshapen;
  const auto add_line = [](std::string& list, const std::string& line) {
    list += (list.empty() ? "" : ", ") + line;
  };
  std::map<std::string, Tensor> own = this->values();
  for (auto& [name, tensor] : own) {
    const auto given = values.find(name);
    if (given == values.end()) {
      add_line(missing, name);
    } else if (!(given->second.shape() == tensor.shape()) || given->second.dtype() != tensor.dtype()) {
      add_line(misshapen, fmt::format("{} is {} {}, expected {} {}", name, name_of(given->second.dtype()),
                                      given->second.shape(), name_of(tensor.dtype()), tensor.shape()));
    }
  }
  for (const auto& [name, tensor] : values) {
    if (!own.contains(name)) add_line(extra, name);
  }
  require(missing.empty() && extra.empty() && misshapen.empty(),
          "the weights don't fit {}:{}{}{}", graph_.architecture,
          missing.empty() ? "" : "\n  missing: " + missing, extra.empty() ? "" : "\n  not in the network: " + extra,
          misshapen.empty() ? "" : "\n  wrong shape: " + misshapen);
  for (auto& [name, tensor] : own) {
    tensor.copy_from(values.at(name));
  }
}

void Network::move_to(Device device) {
  if (device == this->device()) return;
  for (auto& parameter : parameters_) parameter->value = make_leaf(parameter->value.to(device));
  for (auto& buffer : buffers_) buffer->value = buffer->value.to(device);
}

Device Network::device() const { return parameters_.empty() ? Device{} : parameters_[0]->value.device(); }

Network Network::clone() const {
  Network copy(graph_);
  copy.move_to(device());
  copy.set_values(values());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    copy.parameters_[i]->rate_scale = parameters_[i]->rate_scale;
    copy.parameters_[i]->decay_scale = parameters_[i]->decay_scale;
  }
  return copy;
}

}  // namespace hinge
