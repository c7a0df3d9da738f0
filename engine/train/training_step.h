// One step of training: forward, loss, backward, update. Eagerly, or as a graph that is captured once and replayed.
//
// A GPU runs a small network's kernels faster than the host can queue them. Where shapes don't change, the second step
// with a shape is recorded as one graph on a memory pool of its own and every later one is a single call. The first runs
// eagerly: it measures convolutions and makes the optimiser's state. What changes from step to step (images, labels, the
// rate) lies in fixed places in the GPU's memory and is written before the replay.
//
// Eager, and `how()` says why: on the CPU; when asked for; with dropout, whose random numbers are drawn by a step
// number that a graph would keep. The update stays outside the graph where the optimiser can't be captured or where
// somebody looks at the gradients in between.
//
// Before an update outside of a graph the loss, and on the CPU every gradient, must be finite; where one isn't, weights
// stay as they were and NotFiniteError names what went wrong first (diagnosis.h). With the update in the graph, outcome()
// is the first to know, and the weights it can name are already changed.
//
// In a group each rank's step takes its part of the batch; gradients, loss and counts are those of the whole, and so are the
// running statistics: the mean of the ranks', or those of all images with synchronised BatchNorm. On GPUs a rank queues its step,
// sums included, and waits until every rank has: who hangs is named before anybody waits for a GPU.
//
// In `pieces` (gradient accumulation) a step takes its images one piece after another and adds the gradients up: those of the
// mean over the batch, with the memory of a piece. BatchNorm's statistics are then a piece's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/accelerator.h"
#include "engine/core/process_group.h"
#include "engine/core/tensor_sums.h"
#include "engine/nn/network.h"
#include "engine/ops/loss.h"
#include "engine/optim/optimizer.h"

namespace hinge {

struct StepOptions {
  LossOptions loss;
  std::uint64_t seed = 0;      // of dropout
  Network* teacher = nullptr;  // for distillation; on the network's device
  bool graph = true;
  ProcessGroup* group = nullptr;
  bool synchronize_batch_norm = false;
  DType activations = DType::kFloat32;                  // or kBfloat16, on a GPU: what is what stands in docs/decisions/0022
  SumPrecision sum_precision = SumPrecision::kFloat32;  // of gradients; running statistics are added up as they are
  int pieces = 1;                                       // at most a rank's images; a smaller batch has as many as its smallest part has images
};

struct StepOutcome {
  double loss = 0.0;  // mean over the batch, before the update
  std::int64_t images = 0, top1 = 0, top5 = 0;
};

class TrainingStep {
 public:
  // Between backward and update.
  using Look = std::function<void(std::span<Parameter* const>, std::span<const Tensor> gradients)>;

  // `network` and `optimizer` are kept by reference; their tensors must stay where they are. `look` may be empty.
  TrainingStep(Network& network, Optimizer& optimizer, const StepOptions& options, Look look, const Stream& stream);
  ~TrainingStep();
  TrainingStep(const TrainingStep&) = delete;
  TrainingStep& operator=(const TrainingStep&) = delete;

  // images : [N, H, W, C], labels : [N] int32 in range (check_labels), both on the CPU or on the stream's device.
  // Queues the step and returns, in a group when all ranks have; the tensors can be changed when it does. Throws NotFiniteError, on
  // every rank.
  // `part`: of the batch of `batch` images, which of them these are; all, where nothing is said.
  void run(const Tensor& images, const Tensor& labels, float rate, std::uint64_t step, Slice part = {}, std::int64_t batch = 0);
  // Of the last run; waits for it. Throws NotFiniteError.
  StepOutcome outcome() const;
  // "graph", or "eager: " and the reason.
  std::string how() const { return refusal_.empty() ? "graph" : "eager: " + refusal_; }
  std::int64_t replays() const { return replays_; }
  // Is the update part of the graph that was last replayed, so that an error is found only behind it?
  bool updated_in_graph() const;

 private:
  struct Piece {
    Slice images;  // of those that run() was given
    Tensor loss, counts;
  };
  struct Results {
    std::vector<Piece> pieces;
    std::vector<Tensor> gradients;
  };
  struct Captured;

  std::vector<Slice> slices() const;
  ForwardOptions forward_options(std::uint64_t step, const Slice& piece) const;
  Results compute(const Tensor& images, const Tensor& labels, std::uint64_t step);
  void average_buffers();
  std::vector<double> totals_here(const Results& results) const;
  void meet(const Results& results);
  void check(const Tensor& images, const Results& results, std::uint64_t step) const;
  void update(const Results& results, float rate);
  void run_eagerly(const Tensor& images, const Tensor& labels, float rate, std::uint64_t step);
  std::unique_ptr<Captured> capture(const Tensor& images, const Tensor& labels);

  Network& network_;
  Optimizer& optimizer_;
  CapturableOptimizer* capturable_;  // null: the update stays outside graphs
  StepOptions options_;
  Look look_;
  Stream stream_;
  std::unique_ptr<TensorSums> sums_;  // of the group; graphs that are captured hold on to it
  std::vector<Parameter*> parameters_;
  std::string refusal_;
  Shape seen_;  // of the images of the last eager step
  std::int64_t seen_batch_ = 0;
  std::unique_ptr<Captured> captured_;
  Results last_;
  Slice part_;
  std::int64_t batch_ = 0;
  std::vector<double> totals_;  // of the group: loss x images, images, top-1, top-5
  std::int64_t replays_ = 0;
  std::uint64_t last_step_ = 0;
  bool last_replayed_ = false;
};

}  // namespace hinge
