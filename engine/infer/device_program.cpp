#include "engine/infer/device_program.h"

#include <algorithm>
#include <utility>

#include "engine/autograd/node.h"
#include "engine/core/accelerator.h"
#include "engine/infer/device_timer.h"
#include "engine/nn/merge_pair.h"
#include "kernels/convolution_end.h"
#include "kernels/gemm.h"
#include "kernels/registry.h"

namespace hinge {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }
const float* data(const Tensor& tensor) { return tensor.defined() ? tensor.data() : nullptr; }

}  // namespace

// The pool first: it goes last.
struct DeviceProgram::Captured {
  explicit Captured(Device device) : pool(device) {}
  MemoryPool pool;
  Tensor images;
  std::vector<Tensor> outputs;
  std::unique_ptr<CapturedGraph> graph;
};

DeviceProgram::DeviceProgram(Network& network, const DeviceOptions& options) : network_(network), options_(options), shapes_(infer_shapes(network.graph())) {
  require(!network.device().is_cpu(), "inference: the network lies on the CPU, expected a GPU");
  plan_steps();
}

DeviceProgram::~DeviceProgram() = default;

void DeviceProgram::plan_steps() {
  const Graph& graph = network_.graph();
  for (const GraphNode& node : graph.nodes) {
    const bool passes_on = node.kind == OpKind::kRelu || node.kind == OpKind::kAdd || node.kind == OpKind::kBatchNorm || node.kind == OpKind::kDropout;
    flat_.push_back(node.kind == OpKind::kLinear || node.kind == OpKind::kFlatten || (passes_on && flat_[at(node.inputs[0])]));
  }
  FusedGraph fused = fuse(graph);
  outputs_ = std::move(fused.outputs);
  const auto value = [&](int node, const char* what) {
    const std::string name = graph.at(node).weights_name() + what;
    return network_.has_parameter(name) ? network_.value(name) : Tensor();
  };
  std::vector<int> last_use(graph.nodes.size(), -1);
  for (FusedStep& from : fused.steps) {
    const int index = static_cast<int>(steps_.size());
    for (int input : from.inputs) last_use[at(input)] = index;
    if (from.residual >= 0) last_use[at(from.residual)] = index;
    Step step{.fused = std::move(from), .weight = {}, .bias = {}, .tail_weight = {}, .tail_bias = {}, .inner = {}, .outer = {}, .frees = {}};
    step.inner = clamp_of(step.fused.inner), step.outer = clamp_of(step.fused.outer);
    step.weight = value(step.fused.operation, ".weight"), step.bias = value(step.fused.operation, ".bias");
    if (step.fused.tail >= 0) step.tail_weight = value(step.fused.tail, ".weight"), step.tail_bias = value(step.fused.tail, ".bias");
    steps_.push_back(std::move(step));
  }
  for (int output : outputs_) last_use[at(output)] = -1;
  for (int node = 0; node < graph.size(); ++node) {
    if (last_use[at(node)] >= 0) steps_[at(last_use[at(node)])].frees.push_back(node);
  }
}

Shape DeviceProgram::shape_of(int node, std::int64_t images) const {
  const FeatureShape& s = shapes_[at(node)];
  return flat_[at(node)] ? Shape{images, s.size()} : Shape{images, s.h, s.w, s.c};
}

kernels::ConvShape DeviceProgram::conv_shape(const Step& step, std::int64_t images) const {
  const auto& a = std::get<ConvAttributes>(network_.graph().at(step.fused.operation).attributes);
  const FeatureShape& in = shapes_[at(step.fused.inputs[0])];
  return {.n = images, .h = in.h, .w = in.w, .c = a.in, .k = a.out, .r = a.kernel_h, .s = a.kernel_w, .stride = a.stride, .padding = a.padding, .groups = a.groups};
}

kernels::LowRankPairShape DeviceProgram::pair_shape(const Step& step, std::int64_t images) const {
  return {conv_shape(step, images), std::get<ConvAttributes>(network_.graph().at(step.fused.tail).attributes).out, step.inner, step.outer};
}

const std::vector<PairForm>& DeviceProgram::pair_forms(std::int64_t images) {
  if (const auto known = pairs_.find(images); known != pairs_.end()) return known->second;
  std::vector<PairForm> forms;  // kept when all are known: measuring may run out of memory
  for (Step& step : steps_) {
    if (step.fused.tail < 0) continue;
    forms.push_back(choose_pair_form(options_.pairs, pair_shape(step, images), step.fused.residual >= 0, options_.graph, network_.device()));
    if (forms.back() == PairForm::kMerged) merge(step);
  }
  return pairs_.emplace(images, std::move(forms)).first->second;
}

// On the host, where weights are read in double precision.
void DeviceProgram::merge(Step& step) {
  if (step.merged_weight.defined()) return;
  const auto host = [](const Tensor& tensor) { return tensor.defined() ? tensor.to(Device{}) : Tensor(); };
  const Tensor v = host(step.tail_weight), bias = merge_pair_bias(host(step.bias), v, host(step.tail_bias));
  step.merged_weight = merge_pair(host(step.weight), v).to(network_.device());
  if (bias.defined()) step.merged_bias = bias.to(network_.device());
}

// The layers that end in one pass over what a library's call has made; and a pair.
Tensor DeviceProgram::run_layer(const Step& step, PairForm form, const Tensor& x, const Tensor& residual, std::int64_t images) {
  const Stream stream = stream_of(network_.device());
  const auto empty = [&](Shape shape) { return Tensor::empty(shape, DType::kFloat32, stream.device()); };
  Tensor y = empty(shape_of(step.fused.value, images));
  const bool merged = step.fused.tail >= 0 && form == PairForm::kMerged;
  if (step.fused.tail >= 0 && !merged) {
    const kernels::LowRankPairShape shape = pair_shape(step, images);
    Tensor scratch = empty({scratch_floats(form, shape)});
    run_pair(form, shape, {x.data(), step.weight.data(), data(step.bias), step.tail_weight.data(), data(step.tail_bias), data(residual)},
             scratch.mutable_data(), y.mutable_data(), stream);
    return y;
  }
  const GraphNode& node = network_.graph().at(step.fused.operation);
  const Tensor &weight = merged ? step.merged_weight : step.weight, &bias = merged ? step.merged_bias : step.bias;
  if (node.kind == OpKind::kConv2d) {
    const kernels::ConvShape shape = merged ? merged_shape(pair_shape(step, images)) : conv_shape(step, images);
    kernels::dispatch<kernels::Conv2dForward>(stream, shape, x.data(), weight.data(), static_cast<const float*>(nullptr), y.mutable_data());
  } else {
    const auto& linear = std::get<LinearAttributes>(node.attributes);
    kernels::dispatch<kernels::Gemm>(stream, kernels::GemmShape{.m = images, .n = linear.out, .k = linear.in, .transpose_b = true}, x.data(), weight.data(), y.mutable_data());
  }
  if (bias.defined() || residual.defined() || !(step.outer == kernels::Clamp{})) {
    const std::int64_t channels = weight.dim(0);
    kernels::dispatch<kernels::ConvolutionEnd>(stream, kernels::ConvolutionEndShape{y.size() / channels, channels, step.outer}, y.data(), data(bias), data(residual), y.mutable_data());
  }
  return y;
}

Tensor DeviceProgram::run_step(const Step& step, PairForm form, const std::vector<Tensor>& values, std::int64_t images) {
  const Stream stream = stream_of(network_.device());
  const GraphNode& node = network_.graph().at(step.fused.operation);
  // A value under the shape that the node behind it knows: it may have come by way of a flatten that is no step.
  const auto input = [&](std::size_t i) { return values[at(step.fused.inputs[i])].reshaped(shape_of(node.inputs[i], images)); };
  const Tensor residual = step.fused.residual >= 0 ? values[at(step.fused.residual)].reshaped(shape_of(step.fused.value, images)) : Tensor();
  const auto clamp = [&](const Tensor& x, const float* z) {
    Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
    const std::int64_t channels = shapes_[at(step.fused.value)].c;
    kernels::dispatch<kernels::ConvolutionEnd>(stream, kernels::ConvolutionEndShape{x.size() / channels, channels, step.outer}, x.data(), static_cast<const float*>(nullptr), z, y.mutable_data());
    return y;
  };
  switch (node.kind) {
    case OpKind::kConv2d:
    case OpKind::kLinear: return run_layer(step, form, input(0), residual, images);
    case OpKind::kRelu: return clamp(input(0), nullptr);
    case OpKind::kAdd: return clamp(input(0), input(1).data());
    default: break;
  }
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) inputs.push_back(input(i));
  const bool plain_relu = step.fused.outer.on && step.fused.outer.ceiling == 0.0f;  // BatchNorm's pass has no ceiling
  const Tensor y = network_.run_node(step.fused.operation, inputs, {residual, plain_relu}, {}, stream);
  return step.fused.outer.on && !plain_relu ? clamp(y, nullptr) : y;
}

std::vector<Tensor> DeviceProgram::forward(const Tensor& images, const std::vector<PairForm>& pairs) {
  const NoGradients guard;
  const std::int64_t count = images.dim(0);
  std::vector<Tensor> values(network_.graph().nodes.size());
  values[0] = images;
  std::size_t pair = 0;
  for (const Step& step : steps_) {
    const PairForm form = step.fused.tail >= 0 ? pairs[pair++] : PairForm::kTwoCalls;
    values[at(step.fused.value)] = run_step(step, form, values, count);
    for (int freed : step.frees) values[at(freed)] = Tensor();
  }
  std::vector<Tensor> outputs;
  const std::vector<int> nodes = network_.graph().outputs();
  for (std::size_t i = 0; i < nodes.size(); ++i) outputs.push_back(values[at(outputs_[i])].reshaped(shape_of(nodes[i], count)));
  return outputs;
}

std::vector<StepTime> DeviceProgram::profile(const Tensor& images, int rounds) {
  check_images(images);
  require(rounds >= 1, "inference: a profile of {} rounds, expected at least 1", rounds);
  const NoGradients guard;
  const std::int64_t count = images.dim(0);
  const std::vector<PairForm>& pairs = pair_forms(count);
  std::vector<Tensor> values(network_.graph().nodes.size());
  values[0] = images.to(network_.device());
  std::vector<StepTime> result;
  std::size_t pair = 0;
  for (const Step& step : steps_) {
    const OpKind kind = network_.graph().at(step.fused.operation).kind;
    const PairForm form = step.fused.tail >= 0 ? pairs[pair++] : PairForm::kTwoCalls;
    DeviceTimer timer(network_.device(), options_.graph, [&] { run_step(step, form, values, count); });
    std::vector<double> seconds;
    for (int round = 0; round < rounds; ++round) seconds.push_back(timer.seconds());
    std::ranges::nth_element(seconds, seconds.begin() + rounds / 2);
    const char* how = step.fused.tail >= 0 ? name_of(form) : kind == OpKind::kConv2d ? "convolution"
                                                         : kind == OpKind::kLinear   ? "product"
                                                                                     : "";
    result.push_back({name_of(step.fused, network_.graph()), how, seconds[static_cast<std::size_t>(rounds / 2)]});
    values[at(step.fused.value)] = run_step(step, form, values, count);
    for (int freed : step.frees) values[at(freed)] = Tensor();
  }
  return result;
}

void DeviceProgram::check_images(const Tensor& images) const {
  const FeatureShape& in = network_.graph().input;
  require(images.shape().rank() == 4 && images.dim(1) == in.h && images.dim(2) == in.w && images.dim(3) == in.c,
          "inference: images are {}, expected [N, {}, {}, {}]", images.shape(), in.h, in.w, in.c);
}

void DeviceProgram::run(const Tensor& images, std::vector<Tensor>& outputs) {
  check_images(images);
  const Device device = network_.device();
  const std::vector<PairForm>& pairs = pair_forms(images.dim(0));
  const bool repeated = std::exchange(seen_, Shape{}) == images.shape();
  if (options_.graph && repeated && images.size() > 0 && (!captured_ || !(captured_->images.shape() == images.shape()))) {
    // The call before has chosen how convolutions run. What is captured for another shape goes first, with its memory; a last,
    // smaller batch now and then is not worth that.
    captured_.reset();
    auto captured = std::make_unique<Captured>(device);
    const MemoryPool::Scope scope(captured->pool);
    captured->images = Tensor::empty(images.shape(), images.dtype(), device);
    Capture recording(device);
    captured->outputs = forward(captured->images, pairs);
    captured->graph = recording.end();
    captured_ = std::move(captured);
  }
  if (!captured_ || !(captured_->images.shape() == images.shape())) {
    outputs = forward(images.to(device), pairs);
    seen_ = images.shape();
    return;
  }
  captured_->images.copy_from(images);
  captured_->graph->replay();
  seen_ = images.shape();
  ++replays_;
  outputs.resize(captured_->outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Tensor& from = captured_->outputs[i];
    if (!outputs[i].defined() || !(outputs[i].shape() == from.shape()) || !(outputs[i].device() == device)) outputs[i] = Tensor::empty(from.shape(), from.dtype(), device);
    outputs[i].copy_from(from);
  }
}

}  // namespace hinge
