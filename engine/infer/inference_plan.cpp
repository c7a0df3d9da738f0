#include "engine/infer/inference_plan.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

#include "engine/autograd/node.h"
#include "engine/core/accelerator.h"
#include "engine/core/names.h"
#include "engine/infer/spin_barrier.h"
#include "engine/nn/fold_batch_norm.h"

namespace hinge {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr std::array kMethods = {InferenceMethod::kMeasured, InferenceMethod::kImages, InferenceMethod::kChannels, InferenceMethod::kLibrary};

double median(std::vector<double> samples) {
  std::ranges::sort(samples);
  return samples[samples.size() / 2];
}

// Folded where the host can read the weights, and then where the network lies.
std::unique_ptr<Network> folded(const Network& network) {
  if (network.device().is_cpu()) return std::make_unique<Network>(fold_batch_norm(network));
  Network copy = network.clone();
  copy.move_to(Device{});
  auto result = std::make_unique<Network>(fold_batch_norm(copy));
  result->move_to(network.device());
  return result;
}

}  // namespace

const char* name_of(InferenceMethod method) {
  constexpr std::array names = {"measured", "images", "channels", "library"};
  return names[static_cast<std::size_t>(method)];
}

InferenceMethod inference_method_of(const std::string& name) {
  std::vector<std::string> names;
  for (InferenceMethod method : kMethods) {
    names.push_back(name_of(method));
    if (names.back() == name) return method;
  }
  throw UsageError("inference method '" + name + "' is none of measured, images, channels, library" + did_you_mean(name, names));
}

InferencePlan::InferencePlan(const Network& network, const InferenceOptions& options)
    : network_(folded(network)), forms_(options.forms), threads_(omp_get_max_threads()) {
  require(options.batch >= 1, "inference: a batch of {}, expected at least 1", options.batch);
  if (!network.device().is_cpu()) {
    require(options.method == InferenceMethod::kMeasured || options.method == InferenceMethod::kLibrary,
            "inference: method {} runs on the CPU, the network lies on {}", name_of(options.method), network.device().to_string());
    device_program_ = std::make_unique<DeviceProgram>(*network_, DeviceOptions{.graph = options.graph, .pairs = options.pairs});
    return;
  }
  if (options.method == InferenceMethod::kMeasured) {
    choose(options);
  } else {
    prepare(options.method);
  }
}

InferencePlan::~InferencePlan() = default;
InferencePlan::InferencePlan(InferencePlan&&) noexcept = default;
InferencePlan& InferencePlan::operator=(InferencePlan&&) noexcept = default;

void InferencePlan::prepare(InferenceMethod method) {
  method_ = method;
  program_.reset(), arenas_.clear(), scratches_.clear();
  if (method == InferenceMethod::kLibrary) return;
  const auto lanes = method == InferenceMethod::kImages ? kernels::lanes::Lanes::kImages : kernels::lanes::Lanes::kChannels;
  program_ = std::make_unique<BlockProgram>(*network_, lanes, forms_);
  for (int thread = 0; thread < threads_; ++thread) {
    arenas_.push_back(Tensor::empty({program_->arena_floats()}));
    scratches_.push_back(Tensor::empty({program_->scratch_floats()}));
  }
}

void InferencePlan::choose(const InferenceOptions& options) {
  const FeatureShape& in = network_->graph().input;
  const Tensor images = Tensor::full({options.batch, in.h, in.w, in.c}, 0.5f);
  double best_seconds = 1e300;
  InferenceMethod best = InferenceMethod::kLibrary;
  for (InferenceMethod method : {InferenceMethod::kImages, InferenceMethod::kChannels, InferenceMethod::kLibrary}) {
    prepare(method);
    std::vector<Tensor> outputs = run(images);
    double seconds = 1e300;
    for (int round = 0; round < 3; ++round) {
      const auto start = Clock::now();
      run_into(images, outputs);
      seconds = std::min(seconds, seconds_since(start));
    }
    if (seconds < best_seconds) best_seconds = seconds, best = method;
  }
  if (best != method_) prepare(best);
}

std::vector<Tensor> InferencePlan::run(const Tensor& images) {
  std::vector<Tensor> outputs;
  if (program_ != nullptr) {
    const std::vector<FeatureShape> shapes = infer_shapes(network_->graph());
    for (int output : network_->graph().outputs()) {
      const GraphNode& node = network_->graph().at(output);
      const FeatureShape& shape = shapes[static_cast<std::size_t>(output)];
      const bool flat = node.kind == OpKind::kLinear || node.kind == OpKind::kFlatten;
      outputs.push_back(Tensor::empty(flat ? Shape{images.dim(0), shape.c} : Shape{images.dim(0), shape.h, shape.w, shape.c}));
    }
  }
  run_into(images, outputs);
  return outputs;
}

void InferencePlan::run_into(const Tensor& images, std::vector<Tensor>& outputs) {
  const FeatureShape& in = network_->graph().input;
  require(images.shape().rank() == 4 && images.dim(1) == in.h && images.dim(2) == in.w && images.dim(3) == in.c,
          "inference: images are {}, expected [N, {}, {}, {}]", images.shape(), in.h, in.w, in.c);
  if (device_program_ != nullptr) {
    device_program_->run(images, outputs);
  } else if (program_ == nullptr) {
    const NoGradients guard;
    outputs = network_->forward_all(images, {}, stream_of(network_->device()));
  } else {
    run_blocks(images, outputs, nullptr);
  }
}

// Blocks go to threads as they come free; where there are fewer blocks than threads, the threads share each block.
void InferencePlan::run_blocks(const Tensor& images, std::vector<Tensor>& outputs, std::vector<double>* seconds) {
  const std::int64_t count = images.dim(0), per_block = program_->images_per_block(), blocks = (count + per_block - 1) / per_block;
  const std::int64_t features = network_->graph().input.size();
  const bool shared = blocks < threads_ && (blocks == 1 || program_->shares_well());
  const int in_flight = shared ? 1 : static_cast<int>(std::min<std::int64_t>(threads_, std::max<std::int64_t>(blocks, 1)));
  require(outputs.size() == network_->graph().outputs().size(), "inference: {} tensors for {} outputs", outputs.size(), network_->graph().outputs().size());
  std::vector<float*> to;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    require(outputs[i].size() == count * program_->output_features(i), "inference: output {} is {}, expected {} images of {}", i, outputs[i].shape(), count,
            program_->output_features(i));
    to.push_back(outputs[i].mutable_data());
  }
  std::optional<SpinBarrier> barrier;
  const auto one_block = [&](std::int64_t block, float* arena, float* scratch, int thread, int threads, double* times) {
    const std::int64_t first = block * per_block, here = std::min(per_block, count - first);
    if (thread == 0) program_->load(here, images.data() + first * features, arena);
    for (std::size_t step = 0; step < program_->steps(); ++step) {
      if (threads > 1) barrier->wait();
      const auto start = times != nullptr ? Clock::now() : Clock::time_point{};
      program_->run_step(step, arena, scratch, thread, threads);
      if (times != nullptr) times[step] += seconds_since(start);
    }
    if (threads > 1) barrier->wait();
    if (thread != 0) return;
    for (std::size_t i = 0; i < to.size(); ++i) program_->store(i, here, arena, to[i] + first * program_->output_features(i));
  };
  const std::size_t steps = program_->steps();
  std::vector<double> times(seconds != nullptr ? steps * static_cast<std::size_t>(threads_) : 0);
  const auto times_of = [&](int thread) { return seconds != nullptr ? times.data() + static_cast<std::size_t>(thread) * steps : nullptr; };
  if (shared) {
#pragma omp parallel num_threads(threads_)
    {
      const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
#pragma omp single
      barrier.emplace(threads);
      for (std::int64_t block = 0; block < blocks; ++block) {
        one_block(block, arenas_[0].mutable_data(), scratches_[static_cast<std::size_t>(thread)].mutable_data(), thread, threads, times_of(thread));
      }
    }
  } else {
#pragma omp parallel for schedule(dynamic) num_threads(in_flight)
    for (std::int64_t block = 0; block < blocks; ++block) {
      const auto thread = static_cast<std::size_t>(omp_get_thread_num());
      one_block(block, arenas_[thread].mutable_data(), scratches_[thread].mutable_data(), 0, 1, times_of(static_cast<int>(thread)));
    }
  }
  if (seconds == nullptr) return;
  seconds->assign(steps, 0.0);
  for (std::size_t i = 0; i < times.size(); ++i) (*seconds)[i % steps] += times[i] / (shared ? threads_ : in_flight);
}

std::vector<StepTime> InferencePlan::profile(const Tensor& images, int rounds) {
  std::vector<StepTime> result;
  if (device_program_ != nullptr) return device_program_->profile(images, rounds);
  if (program_ == nullptr) return result;
  std::vector<Tensor> outputs = run(images);
  std::vector<std::vector<double>> samples(program_->steps());
  std::vector<double> seconds;
  for (int round = 0; round < rounds; ++round) {
    run_blocks(images, outputs, &seconds);
    for (std::size_t step = 0; step < samples.size(); ++step) samples[step].push_back(seconds[step]);
  }
  for (std::size_t step = 0; step < samples.size(); ++step) result.push_back({program_->name(step), program_->form(step), median(samples[step])});
  return result;
}

}  // namespace hinge
