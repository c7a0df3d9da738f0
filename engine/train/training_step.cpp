#include "engine/train/training_step.h"

#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/train/agreement.h"
#include "engine/train/diagnosis.h"
#include "engine/train/gradient_sum.h"

namespace hinge {
namespace {

// Why a graph can't stand for this network's step; "" if it can.
std::string refusal_of(const Network& network, const StepOptions& options, const Stream& stream) {
  if (stream.device().is_cpu()) return "the CPU has no graphs";
  if (!options.graph) return "as asked for";
  for (const GraphNode& node : network.graph().nodes) {
    const auto* dropout = std::get_if<DropoutAttributes>(&node.attributes);
    if (dropout != nullptr && dropout->rate > 0.0f) return "dropout draws other numbers in every step";
  }
  return "";
}

}  // namespace

// The pool first: it goes last.
struct TrainingStep::Captured {
  explicit Captured(Device device) : pool(device) {}
  MemoryPool pool;
  Tensor images, labels;
  Results results;
  std::unique_ptr<CapturedGraph> graph;
  bool with_update = false;
};

TrainingStep::TrainingStep(Network& network, Optimizer& optimizer, const StepOptions& options, Look look, const Stream& stream)
    : network_(network), optimizer_(optimizer), capturable_(dynamic_cast<CapturableOptimizer*>(&optimizer)), options_(options), look_(std::move(look)), stream_(stream), parameters_(network.parameters()), refusal_(refusal_of(network, options, stream)) {
  const Device here = stream.device();
  require(network.device() == here, "training: the network is on {}, the step runs on {}", network.device().to_string(), here.to_string());
  require(options.teacher == nullptr || options.teacher->device() == here, "training: the teacher is on {}, the step runs on {}",
          options.teacher == nullptr ? "" : options.teacher->device().to_string(), here.to_string());
  require(options.group == nullptr || here.is_cpu(), "training: several ranks train on the CPU, not on {}", here.to_string());
}

TrainingStep::~TrainingStep() = default;

ForwardOptions TrainingStep::forward_options(std::uint64_t step) const {
  return {.training = true, .seed = options_.seed, .step = step, .first_image = part_.begin, .normalize_over = options_.synchronize_batch_norm ? options_.group : nullptr};
}

TrainingStep::Results TrainingStep::compute(const Tensor& images, const Tensor& labels, std::uint64_t step) {
  Tensor teacher_logits;
  if (options_.teacher != nullptr && options_.loss.distillation_weight > 0.0f) {
    const NoGradients guard;
    teacher_logits = options_.teacher->forward(images, {}, stream_);
  }
  const Tensor logits = network_.forward(images, forward_options(step), stream_);
  Results results;
  const Tensor loss = classification_loss(logits, labels, teacher_logits, options_.loss, stream_);
  results.loss = loss.detached();
  results.counts = top_counts(logits, labels, stream_);
  std::vector<Tensor> leaves;
  for (const Parameter* parameter : parameters_) leaves.push_back(parameter->value);
  if (options_.group == nullptr) {
    results.gradients = gradients(loss, leaves, stream_);
    return results;
  }
  // The loss is the mean over this rank's images: seeded with their share, gradients add up to those of the whole mean.
  GradientSum sum(*options_.group);
  const BackwardOptions backward{.seed = static_cast<float>(static_cast<double>(part_.count()) / static_cast<double>(batch_)), .ready = [&](std::size_t i, const Tensor& gradient) { sum.ready(i, gradient); }};
  results.gradients = gradients(loss, leaves, backward, stream_);
  sum.finish(results.gradients);
  sum_over_ranks(results);
  return results;
}

// What a step has besides gradients: counts, and running statistics where every rank has its own.
void TrainingStep::sum_over_ranks(Results& results) {
  const auto* counts = results.counts.data<std::int64_t>();
  const auto images = static_cast<double>(part_.count());
  totals_ = {static_cast<double>(results.loss.item()) * images, images, static_cast<double>(counts[0]), static_cast<double>(counts[1])};
  const std::vector<Buffer*> buffers = options_.synchronize_batch_norm ? std::vector<Buffer*>{} : network_.buffers();
  for (const Buffer* buffer : buffers) {
    for (const float value : buffer->value.values<float>()) totals_.push_back(static_cast<double>(value));
  }
  options_.group->sum(totals_);
  const double share = 1.0 / static_cast<double>(options_.group->size());
  auto at = totals_.begin() + 4;
  for (Buffer* buffer : buffers) {
    float* values = buffer->value.mutable_data();
    for (std::int64_t i = 0; i < buffer->value.size(); ++i) values[i] = static_cast<float>(*at++ * share);
  }
  totals_.resize(4);
}

// Reading a loss waits for the device; its gradients would have to be copied, and show in the next loss anyway.
void TrainingStep::check(const Tensor& images, const Results& results, std::uint64_t step) const {
  const auto loss = static_cast<double>(results.loss.item());
  const bool fine_here = std::isfinite(loss);
  bool fine = fine_here && (options_.group == nullptr || std::isfinite(totals_[0]));
  if (fine && stream_.device().is_cpu()) {
    for (const Tensor& gradient : results.gradients) fine = fine && (!gradient.defined() || all_finite(gradient.values<float>()));
  }
  if (fine) return;
  ForwardOptions forward = forward_options(step);
  forward.normalize_over = nullptr;  // a rank whose images are wrong looks no further
  NotFinite found = first_to_go_wrong(network_, {.images = images, .loss = loss, .gradients = results.gradients, .teacher = options_.teacher, .forward = forward}, stream_);
  if (found.what == "image") found.index[0] += part_.begin;
  // With synchronised BatchNorm one rank's NaN is in everybody's loss: who has more to say goes first.
  throw_together(options_.group, found, !fine_here && (found.what != "loss" || forward_options(step).normalize_over == nullptr));
}

void TrainingStep::update(const Results& results, float rate) {
  if (look_) look_(parameters_, results.gradients);
  optimizer_.step(parameters_, results.gradients, rate, stream_);
}

void TrainingStep::run_eagerly(const Tensor& images, const Tensor& labels, float rate, std::uint64_t step) {
  last_ = compute(images.to(stream_.device()), labels.to(stream_.device()), step);
  check(images, last_, step);
  update(last_, rate);
  last_.gradients.clear();  // their memory is the next step's
}

std::unique_ptr<TrainingStep::Captured> TrainingStep::capture(const Tensor& images, const Tensor& labels) {
  auto captured = std::make_unique<Captured>(stream_.device());
  captured->with_update = capturable_ != nullptr && !look_;
  const MemoryPool::Scope scope(captured->pool);
  captured->images = Tensor::empty(images.shape(), images.dtype(), stream_.device());
  captured->labels = Tensor::empty(labels.shape(), labels.dtype(), stream_.device());
  Capture recording(stream_.device());
  captured->results = compute(captured->images, captured->labels, 0);
  if (captured->with_update) capturable_->update(parameters_, captured->results.gradients, stream_);
  captured->graph = recording.end();
  if (captured->with_update) capturable_->finish_capture(stream_);
  return captured;
}

void TrainingStep::run(const Tensor& images, const Tensor& labels, float rate, std::uint64_t step, Slice part, std::int64_t batch) {
  last_images_ = images.dim(0);
  part_ = batch == 0 ? Slice{0, last_images_} : part, batch_ = batch == 0 ? last_images_ : batch;
  require(part_.count() == last_images_ && (options_.group != nullptr || batch_ == last_images_), "training: images {} to {} of {} are {} images", part_.begin, part_.end, batch_, last_images_);
  const bool repeated = images.shape() == seen_;
  if (refusal_.empty() && repeated && !captured_) captured_ = capture(images, labels);
  if (!captured_ || !(captured_->images.shape() == images.shape())) {
    // A capture is for one shape: an epoch's last, smaller batch runs eagerly.
    if (!captured_) seen_ = images.shape();
    last_replayed_ = false;
    return run_eagerly(images, labels, rate, step);
  }
  captured_->images.copy_from(images);
  captured_->labels.copy_from(labels);
  if (captured_->with_update) capturable_->set_rate(parameters_, rate, stream_);
  captured_->graph->replay();
  ++replays_;
  last_ = captured_->results;
  last_step_ = step, last_replayed_ = true;
  if (captured_->with_update) return;
  check(captured_->images, captured_->results, step);
  update(captured_->results, rate);
}

bool TrainingStep::updated_in_graph() const { return last_replayed_ && captured_->with_update; }

StepOutcome TrainingStep::outcome() const {
  if (options_.group != nullptr) {
    return {.loss = totals_[0] / totals_[1], .images = static_cast<std::int64_t>(totals_[1]), .top1 = static_cast<std::int64_t>(totals_[2]), .top5 = static_cast<std::int64_t>(totals_[3])};
  }
  const auto loss = static_cast<double>(last_.loss.item());
  if (!std::isfinite(loss) && updated_in_graph()) check(captured_->images, {.loss = last_.loss, .counts = {}, .gradients = {}}, last_step_);
  const Tensor counts = last_.counts.to(Device{});
  return {.loss = loss,
          .images = last_images_,
          .top1 = counts.data<std::int64_t>()[0],
          .top5 = counts.data<std::int64_t>()[1]};
}

}  // namespace hinge
