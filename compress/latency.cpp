#include "compress/latency.h"

#include <omp.h>

#include <chrono>

#include "engine/core/accelerator.h"
#include "engine/core/error.h"
#include "engine/infer/block_program.h"

namespace hinge::compress {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRounds = 9;

Tensor pictures(const Network& network, std::int64_t batch) {
  const FeatureShape& in = network.graph().input;
  return Tensor::full({batch, in.h, in.w, in.c}, 0.5f, network.device());
}

// Of the fastest call. A GPU captures the second one: the first that counts is replayed.
double seconds_of(InferencePlan& plan, const Tensor& images) {
  const Stream stream = stream_of(images.device());
  std::vector<Tensor> outputs = plan.run(images);
  plan.run_into(images, outputs);
  double best = 1e300;
  for (int round = 0; round < kRounds; ++round) {
    stream.synchronize();
    const auto start = Clock::now();
    plan.run_into(images, outputs);
    stream.synchronize();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

std::unique_ptr<LayerStopwatch> stopwatch_of(Device device, std::int64_t batch, InferenceMethod method) {
  if (!device.is_cpu()) return std::make_unique<DeviceStopwatch>(device, batch);
  return std::make_unique<LaneStopwatch>(method == InferenceMethod::kImages ? kernels::lanes::Lanes::kImages : kernels::lanes::Lanes::kChannels);
}

// Of all BatchNorms, in or out of a convolution: what grows with the feature maps.
double elements_of(const Graph& graph) {
  const std::vector<FeatureShape> shapes = infer_shapes(graph);
  double sum = 0.0;
  for (int i = 0; i < graph.size(); ++i) {
    if (graph.at(i).kind == OpKind::kBatchNorm) sum += static_cast<double>(shapes[static_cast<std::size_t>(i)].size());
  }
  return sum;
}

}  // namespace

MeasuredClock::MeasuredClock(const Network& dense, const LatencyOptions& options, const nlohmann::json& known) : batch_(options.batch), known_(known) {
  require(known.is_null() || (known.is_object() && known.contains("calls") && known.at("calls").is_object()), "layer times: expected an object with 'calls'");
  if (known_.is_null()) known_ = {{"calls", nlohmann::json::object()}};
  const Device device = dense.device();
  require(options.method != InferenceMethod::kLibrary, "latency: method library has no times of layers");
  require(device.is_cpu() || options.method == InferenceMethod::kMeasured, "latency: method {} runs on the CPU, the network lies on {}", name_of(options.method), device.to_string());
  key_ = fmt::format("{} {} MACs, batch {}, ", dense.graph().architecture, cost_of(dense.graph()).macs, batch_);
  if (device.is_cpu()) {
    key_ += fmt::format("{} threads, {}", omp_get_max_threads(), LaneStopwatch(kernels::lanes::Lanes::kImages).machine());
    choose_method(dense, options.method);
  } else {
    method_ = InferenceMethod::kLibrary;
  }
  std::unique_ptr<LayerStopwatch> stopwatch = stopwatch_of(device, batch_, method_);
  section_ = device.is_cpu() ? name_of(method_) : "GPU, " + stopwatch->machine();
  if (!device.is_cpu()) key_ += section_;
  times_.emplace(std::move(stopwatch));
  if (known_.contains(section_)) times_->add_json(known_.at(section_));
  calibrate(dense);
}

void MeasuredClock::choose_method(const Network& dense, InferenceMethod wanted) {
  const auto call = known_.at("calls").find(key_);
  if (wanted != InferenceMethod::kMeasured) {
    method_ = wanted;
  } else if (call != known_.at("calls").end()) {
    method_ = inference_method_of(call->at("method").get<std::string>());
  } else {
    double best = 1e300;
    const Tensor images = pictures(dense, batch_);
    for (InferenceMethod method : {InferenceMethod::kImages, InferenceMethod::kChannels}) {
      InferencePlan plan(dense, {.batch = batch_, .method = method});
      const double seconds = seconds_of(plan, images);
      if (seconds < best) best = seconds, method_ = method;
    }
  }
}

// What the whole network takes, shared out: to convolutions as their times on one block say, the rest to the elements of
// feature maps.
void MeasuredClock::calibrate(const Network& dense) {
  double convolutions = 0.0, total = 0.0;
  if (const auto call = known_.at("calls").find(key_); call != known_.at("calls").end() && call->at("method") == name_of(method_)) {
    convolutions = call->at("convolutions").get<double>(), total = call->at("seconds").get<double>();
  } else {
    InferencePlan plan(dense, {.batch = batch_, .method = method_});
    const Tensor images = pictures(dense, batch_);
    total = seconds_of(plan, images);
    double in_convolutions = 0.0, in_all = 0.0;
    for (const StepTime& step : plan.profile(images, kRounds)) {
      in_all += step.seconds;
      if (!step.form.empty()) in_convolutions += step.seconds;
    }
    require(in_all > 0.0, "latency: {} took no time on {}: this device has no clock", dense.graph().architecture, dense.device().to_string());
    convolutions = total * in_convolutions / in_all;
    known_["calls"][key_] = {{"method", name_of(method_)}, {"seconds", total}, {"convolutions", convolutions}};
  }
  const Graph& graph = dense.graph();
  const std::vector<FeatureShape> shapes = infer_shapes(graph);
  double blocks = 0.0;
  for (const GraphNode& node : graph.nodes) {
    if (node.kind != OpKind::kConv2d && node.kind != OpKind::kLinear) continue;
    const LayerTimes::Spec spec = conv_spec_of(node, shapes[static_cast<std::size_t>(node.inputs[0])]);
    blocks += times_->seconds(spec, spec);
  }
  require(blocks > 0.0, "latency: {} has no convolution", graph.architecture);
  scale_ = convolutions / blocks;
  const double elements = elements_of(graph);
  seconds_per_element_ = elements > 0.0 ? (total - convolutions) / elements : 0.0;
}

double MeasuredClock::convolution(const Spec& full, const Spec& kept) const { return scale_ * times_->seconds(full, kept); }

void MeasuredClock::prepare(const Spec& full, bool c_varies, bool k_varies, bool tail_varies) const {
  times_->prepare(full, c_varies, k_varies, tail_varies);
}

nlohmann::json MeasuredClock::table() const {
  nlohmann::json table = known_;
  table[section_] = times_->to_json();
  return table;
}

}  // namespace hinge::compress
