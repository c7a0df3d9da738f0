#include "engine/train/training_step.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/autograd/backward.h"
#include "engine/train/agreement.h"
#include "engine/train/diagnosis.h"
#include "engine/train/gradient_sum.h"
#include "kernels/elementwise.h"
#include "kernels/registry.h"

namespace hinge {
namespace {

// Why a graph can't stand for this network's step; "" if it can.
std::string refusal_of(const Network& network, const StepOptions& options, const TensorSums* sums, const Stream& stream) {
  if (stream.device().is_cpu()) return "the CPU has no graphs";
  if (!options.graph) return "as asked for";
  if (options.synchronize_batch_norm && options.group != nullptr) return "synchronised BatchNorm's statistics pass through the host";
  if (sums != nullptr && !sums->refusal().empty()) return sums->refusal();
  for (const GraphNode& node : network.graph().nodes) {
    const auto* dropout = std::get_if<DropoutAttributes>(&node.attributes);
    if (dropout != nullptr && dropout->rate > 0.0f) return "dropout draws other numbers in every step";
  }
  return "";
}

// a + b on a device; `a` where there is no b.
Tensor plus(const Tensor& a, const Tensor& b, const Stream& stream) {
  if (!b.defined()) return a;
  Tensor sum = Tensor::empty(a.shape(), a.dtype(), stream.device());
  kernels::dispatch<kernels::Add>(stream, a.size(), a.data(), b.data(), sum.mutable_data());
  return sum;
}

}  // namespace

// The pool first: it goes last.
struct TrainingStep::Captured {
  explicit Captured(Device device) : pool(device) {}
  MemoryPool pool;
  Tensor images, labels;
  Results results;
  std::unique_ptr<CapturedGraph> graph;
  std::int64_t batch = 0;
  bool with_update = false;
};

TrainingStep::TrainingStep(Network& network, Optimizer& optimizer, const StepOptions& options, Look look, const Stream& stream)
    : network_(network), optimizer_(optimizer), capturable_(dynamic_cast<CapturableOptimizer*>(&optimizer)), options_(options), look_(std::move(look)), stream_(stream), sums_(options.group == nullptr ? nullptr : make_sums(*options.group, stream.device())), parameters_(network.parameters()), refusal_(refusal_of(network, options, sums_.get(), stream)) {
  const Device here = stream.device();
  require(network.device() == here, "training: the network is on {}, the step runs on {}", network.device().to_string(), here.to_string());
  require(options.teacher == nullptr || options.teacher->device() == here, "training: the teacher is on {}, the step runs on {}",
          options.teacher == nullptr ? "" : options.teacher->device().to_string(), here.to_string());
  require(options.activations == DType::kFloat32 || (options.activations == DType::kBfloat16 && !here.is_cpu()), "training: activations in {} on {}, expected F32, or BF16 on a GPU", name_of(options.activations), here.to_string());
  require(options.pieces >= 1, "training: a step in {} pieces, expected 1 or more", options.pieces);
}

TrainingStep::~TrainingStep() = default;

// As many on every rank: sums are started in the same order.
std::vector<Slice> TrainingStep::slices() const {
  const int ranks = options_.group == nullptr ? 1 : options_.group->size();
  const int pieces = static_cast<int>(std::clamp<std::int64_t>(batch_ / ranks, 1, options_.pieces));
  std::vector<Slice> result;
  for (int piece = 0; piece < pieces; ++piece) result.push_back(slice_of(part_.count(), piece, pieces));
  return result;
}

ForwardOptions TrainingStep::forward_options(std::uint64_t step, const Slice& piece) const {
  return {.training = true, .seed = options_.seed, .step = step, .first_image = part_.begin + piece.begin, .activations = options_.activations, .normalize_over = options_.synchronize_batch_norm ? options_.group : nullptr};
}

TrainingStep::Results TrainingStep::compute(const Tensor& all_images, const Tensor& all_labels, std::uint64_t step) {
  std::vector<Tensor> leaves;
  for (const Parameter* parameter : parameters_) leaves.push_back(parameter->value);
  std::optional<GradientSum> sum;
  if (sums_) sum.emplace(*sums_, stream_, options_.sum_precision);
  Results results{.pieces = {}, .gradients = std::vector<Tensor>(leaves.size())};
  const std::vector<Slice> pieces = slices();
  for (const Slice& piece : pieces) {
    const bool whole = pieces.size() == 1, last = piece.end == pieces.back().end;
    const Tensor images = whole ? all_images : all_images.rows(piece.begin, piece.end), labels = whole ? all_labels : all_labels.rows(piece.begin, piece.end);
    Tensor teacher_logits;
    if (options_.teacher != nullptr && options_.loss.distillation_weight > 0.0f) {
      const NoGradients guard;
      teacher_logits = options_.teacher->forward(images, {.activations = options_.activations}, stream_);
    }
    const Tensor logits = network_.forward(images, forward_options(step, piece), stream_);
    const Tensor loss = classification_loss(logits, labels, teacher_logits, options_.loss, stream_);
    results.pieces.push_back({piece, loss.detached(), top_counts(logits, labels, stream_)});
    // The loss is the mean over the piece: seeded with its share of the batch, gradients add up to those of the whole mean.
    BackwardOptions backward{.seed = static_cast<float>(static_cast<double>(piece.count()) / static_cast<double>(batch_))};
    std::vector<bool> sent(leaves.size(), false);
    if (sum && last) {
      backward.ready = [&](std::size_t i, const Tensor& gradient) {
        sum->ready(i, plus(gradient, results.gradients[i], stream_));
        sent[i] = true;
      };
    }
    const std::vector<Tensor> here = gradients(loss, leaves, backward, stream_);
    for (std::size_t i = 0; i < here.size(); ++i) results.gradients[i] = sent[i] ? here[i] : plus(here[i], results.gradients[i], stream_);
  }
  if (!sum) return results;
  sum->finish(results.gradients);
  if (!options_.synchronize_batch_norm) average_buffers();
  return results;
}

// Running statistics become the mean of the ranks', in place: graphs know where they lie.
void TrainingStep::average_buffers() {
  const std::vector<Buffer*> buffers = network_.buffers();
  std::vector<Tensor> values;
  for (const Buffer* buffer : buffers) values.push_back(buffer->value);
  GradientSum(*sums_, stream_).finish(values);
  const float share = 1.0f / static_cast<float>(options_.group->size());
  for (std::size_t i = 0; i < buffers.size(); ++i) kernels::dispatch<kernels::Scale>(stream_, values[i].size(), share, values[i].data(), buffers[i]->value.mutable_data());
}

std::vector<double> TrainingStep::totals_here(const Results& results) const {
  std::vector<double> totals(4, 0.0);
  for (const Piece& piece : results.pieces) {
    const auto images = static_cast<double>(piece.images.count());
    const Tensor counts = piece.counts.to(Device{});
    totals[0] += static_cast<double>(piece.loss.item()) * images, totals[1] += images;
    totals[2] += static_cast<double>(counts.data<std::int64_t>()[0]), totals[3] += static_cast<double>(counts.data<std::int64_t>()[1]);
  }
  return totals;
}

// A GPU's sums end when every rank has queued them and is there to do them: until then this waits by the group's clock.
void TrainingStep::meet(const Results& results) {
  if (options_.group == nullptr) return;
  double nothing = 0.0;
  if (!stream_.device().is_cpu()) {
    options_.group->sum({&nothing, 1});
    options_.group->wait_until("the GPUs' sums of gradients", [this] { return stream_.is_idle(); });
  }
  totals_ = totals_here(results);
  options_.group->sum(totals_);
}

// Reading a loss waits for the device; its gradients would have to be copied, and show in the next loss anyway.
void TrainingStep::check(const Tensor& images, const Results& results, std::uint64_t step) const {
  const Piece* suspect = nullptr;
  for (const Piece& piece : results.pieces) {
    if (suspect == nullptr && !std::isfinite(piece.loss.item())) suspect = &piece;
  }
  const bool fine_here = suspect == nullptr;
  bool fine = fine_here && (options_.group == nullptr || std::isfinite(totals_[0]));
  if (fine && stream_.device().is_cpu()) {
    for (const Tensor& gradient : results.gradients) fine = fine && (!gradient.defined() || all_finite(gradient.values<float>()));
  }
  if (fine) return;
  if (fine_here) suspect = &results.pieces.front();
  ForwardOptions forward = forward_options(step, suspect->images);
  forward.normalize_over = nullptr;  // a rank whose images are wrong looks no further
  const Tensor its_images = results.pieces.size() == 1 ? images : images.rows(suspect->images.begin, suspect->images.end);
  NotFinite found = first_to_go_wrong(network_, {.images = its_images, .loss = static_cast<double>(suspect->loss.item()), .gradients = results.gradients, .teacher = options_.teacher, .forward = forward}, stream_);
  if (found.what == "image") found.index[0] += part_.begin + suspect->images.begin;
  // With synchronised BatchNorm one rank's NaN is in everybody's loss: who has more to say goes first.
  throw_together(options_.group, found, !fine_here && (found.what != "loss" || !options_.synchronize_batch_norm));
}

void TrainingStep::update(const Results& results, float rate) {
  if (look_) look_(parameters_, results.gradients);
  optimizer_.step(parameters_, results.gradients, rate, stream_);
}

void TrainingStep::run_eagerly(const Tensor& images, const Tensor& labels, float rate, std::uint64_t step) {
  last_ = compute(images.to(stream_.device()), labels.to(stream_.device()), step);
  meet(last_);
  check(images, last_, step);
  update(last_, rate);
  last_.gradients.clear();  // their memory is the next step's
}

std::unique_ptr<TrainingStep::Captured> TrainingStep::capture(const Tensor& images, const Tensor& labels) {
  auto captured = std::make_unique<Captured>(stream_.device());
  captured->with_update = capturable_ != nullptr && !look_;
  captured->batch = batch_;
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
  const std::int64_t here = images.dim(0);
  part_ = batch == 0 ? Slice{0, here} : part, batch_ = batch == 0 ? here : batch;
  require(part_.count() == here && (options_.group != nullptr || batch_ == here), "training: images {} to {} of {} are {} images", part_.begin, part_.end, batch_, here);
  const bool repeated = images.shape() == seen_ && batch_ == seen_batch_;
  if (refusal_.empty() && repeated && !captured_) captured_ = capture(images, labels);
  if (!captured_ || !(captured_->images.shape() == images.shape()) || captured_->batch != batch_) {
    // A capture is for one shape and one share of the batch: an epoch's last, smaller batch runs eagerly.
    if (!captured_) seen_ = images.shape(), seen_batch_ = batch_;
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
  meet(last_);
  if (captured_->with_update) return;
  check(captured_->images, captured_->results, step);
  update(captured_->results, rate);
}

bool TrainingStep::updated_in_graph() const { return last_replayed_ && captured_->with_update; }

StepOutcome TrainingStep::outcome() const {
  const std::vector<double> totals = options_.group != nullptr ? totals_ : totals_here(last_);
  if (!std::isfinite(totals[0]) && updated_in_graph()) check(captured_->images, {.pieces = last_.pieces, .gradients = {}}, last_step_);
  return {.loss = totals[0] / totals[1], .images = static_cast<std::int64_t>(totals[1]), .top1 = static_cast<std::int64_t>(totals[2]), .top5 = static_cast<std::int64_t>(totals[3])};
}

}  // namespace hinge
