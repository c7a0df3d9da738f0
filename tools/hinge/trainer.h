// The training loop: epochs of steps, checkpoints, metrics, the best network on the held-out images.
//
// Everything a step does is a function of (seed, epoch, batch) and of the state in the checkpoint, so a run that was
// killed and resumed makes the same bytes as one that was not.
//
// A number that isn't finite is caught before it changes weights, and none goes into a checkpoint. The run then ends with
// what went wrong first, or (--on-nan rollback) goes on from the last checkpoint with half the rate. On a GPU whose graph
// updates the weights too, the damage shows a step late: steps since the last checkpoint are then repeated without graphs
// to find where it began.
#pragma once

#include <memory>
#include <optional>

#include "engine/core/finite.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/weight_average.h"
#include "engine/train/training_step.h"
#include "tools/hinge/device_images.h"
#include "tools/hinge/evaluate.h"
#include "tools/hinge/options.h"
#include "tools/hinge/run_folder.h"

namespace hinge::cli {

// What a phase adds to plain training.
class TrainingHooks {
 public:
  virtual ~TrainingHooks() = default;
  // Is before_update wanted? Gradients are then complete before the update begins, also where a step is a graph.
  virtual bool looks_at_gradients() const { return false; }
  // Before the optimiser's step.
  virtual void before_update(std::int64_t /*step*/, std::span<Parameter* const>, std::span<const Tensor> /*gradients*/) {}
  // After it. True ends the phase.
  virtual bool after_update(std::int64_t /*step*/, std::int64_t /*steps*/) { return false; }
  virtual std::string note() const { return ""; }  // for the progress line
  virtual nlohmann::json metrics() const { return nlohmann::json::object(); }
  virtual void save(io::Checkpoint&) const {}
  virtual void restore(const io::Checkpoint&) {}
};

struct TrainerSetup {
  std::string phase;  // "train", "search" or "finetune"
  const data::Dataset* dataset = nullptr;
  const data::Split* split = nullptr;
  TrainingOptions options;
  LossOptions loss;
  std::uint64_t seed = 0;
  int checkpoint_every = 200;
  bool keep_best = true;       // end with the network that was best on the held-out images
  Network* teacher = nullptr;  // for distillation; on the network's device
  bool eager = false;          // no captured graphs
  DType activations = DType::kFloat32;
  bool roll_back = false;  // --on-nan rollback
};

struct TrainingOutcome {
  int epochs = 0;
  double seconds = 0.0;              // of this process
  double images_per_second = 0.0;    // of this process
  std::optional<double> best_error;  // per cent on the held-out images
  int best_epoch = 0;
};

class Trainer {
 public:
  Trainer(const TrainerSetup& setup, Network& network, Optimizer& optimizer, TrainingHooks& hooks, RunFolder& run);
  // From `checkpoint` where it is of this phase, else from the start. Throws Interrupted after saving.
  TrainingOutcome run(const std::optional<io::Checkpoint>& checkpoint);

 private:
  struct Epoch {
    double loss_sum = 0.0;
    std::int64_t images = 0, top1 = 0;
  };
  void restore(const io::Checkpoint& checkpoint);
  void save() const;
  // One step; adds to the epoch's sums.
  void step(const data::Batch& batch, std::int64_t global_step);
  void end_epoch(double seconds);
  // What is scored and kept: the network with the averaged weights, where there are any.
  Score score_held_out();
  // One half for every time this phase was rolled back.
  double rate_factor() const;
  std::string hint(const NotFinite& found) const;
  // Goes back to the last checkpoint, or throws Error if that is not wanted or was done too often.
  void recover(const NotFiniteError& error);

  TrainerSetup setup_;
  Network& network_;
  Optimizer& optimizer_;
  TrainingHooks& hooks_;
  RunFolder& run_;
  Schedule schedule_;
  data::Loader loader_;
  Stream stream_;
  std::unique_ptr<DeviceImages> device_images_;  // where the GPU makes the batches
  std::unique_ptr<TrainingStep> step_;           // made when the optimiser's state is in place
  bool told_how_ = false;                        // several ranks on GPUs: by graph or not, and why
  std::int64_t classes_ = 0, global_step_ = 0;
  std::int64_t looked_at_ = -1;  // steps up to this one run without graphs

  int epoch_ = 0, batch_ = 0;
  Epoch sums_;
  std::optional<double> best_error_;
  int best_epoch_ = 0;
  std::optional<WeightAverage> average_;  // --ema
  std::map<std::string, Tensor> best_values_;
};

}  // namespace hinge::cli
