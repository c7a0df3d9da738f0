// One job of `hinge compress`, phase by phase: search (or a control in its place), surgery with proof for every
// target, fine-tuning of each, results.
//
// Files in the run folder, or in a folder per target (flops-0.5/) where there are several:
//   plan.json              what was removed, and the proof
//   groups.json            every group's score, cost and fate: what `hinge explain` reads
//   surgery.safetensors    behind surgery, before fine-tuning
//   model.safetensors      the result
//   tuned.json             its error on the held-out images, when fine-tuning is done
//   result.json            its scores and costs; where there are several, the run's own has all of them
// With --max-error-increase there are several candidates, some of which are fine-tuned; the files of the one that is chosen are
// copied to the run folder.
// and, in the run folder, report.html: all of it for people.
#pragma once

#include "compress/latency.h"
#include "compress/surgery.h"
#include "tools/hinge/error_budget.h"
#include "tools/hinge/search.h"
#include "tools/hinge/session.h"

namespace hinge::cli {

struct CompressOptions {
  WeightsOptions weights;
  DataOptions data;
  std::vector<std::string> target = {"flops=0.5"};
  double max_error_increase = -1.0;  // points; below 0: the targets are the request, whatever the error
  std::string count = "macs";
  std::int64_t latency_batch = 1;
  std::string align = "auto";  // auto, none, measured or a number of channels
  std::string layer_times;     // file of the clock's table; "": the user's cache
  std::string method = "hinge";
  std::string plan;  // a plan.json to carry out instead of a search
  std::vector<std::string> exclude;
  SearchOptions search;
  TrainingOptions finetune{.epochs = 20, .lr = 0.01};
  DistillationOptions distillation;
  std::string teacher, teacher_model;  // a stronger network to learn from than the one that is compressed
  RunOptions run;
  std::string recipe;       // where the options came from
  nlohmann::json expected;  // the recipe's row of the paper's tables

  void declare(CLI::App& app, Flags& flags);
  compress::GroupOptions groups() const;
  bool has_budget() const { return max_error_increase >= 0.0; }
};

// What is asked of one network, checked before anything is trained.
struct CompressionTask {
  std::vector<compress::Target> targets;              // from the largest to the smallest
  compress::Structure structure;                      // ranks as the initialisation gives them
  std::shared_ptr<const compress::LayerClock> clock;  // where a target is a time or counts are rounded by time
  compress::SelectionOptions selection;
};
// Throws UsageError for everything that is wrong with the request. A target in time makes it measure layers.
CompressionTask make_task(const CompressOptions& options, const Graph& dense);
// The smallest target that can be reached, rounded up: "flops=0.26". What a search for an error budget steers for by itself.
std::string smallest_target(const CompressOptions& options, const Graph& dense);

class Compression {
 public:
  // `teacher`: whose opinion is distilled; without one, the network that is compressed.
  Compression(const CompressOptions& options, CompressionTask task, RunFolder& run, LoadedModel model, std::optional<LoadedModel> teacher, LoadedData data);
  void run();

 private:
  struct Result {  // of one target
    compress::Target target;
    std::filesystem::path folder;
    std::string phase;  // of its fine-tuning
    nlohmann::json plan, proof;
    std::optional<Network> network;
    TrainingOutcome outcome;
    bool tuned = false;
  };

  std::vector<Arrival> search(Network& attached, const compress::Budget& budget, const std::optional<io::Checkpoint>& checkpoint);
  compress::CompressionPlan settle(const Network& attached, const compress::Budget& budget, const compress::Scores& scores, const compress::Target& target);
  std::vector<Arrival> arrivals_of_control(Network& attached);
  void operate(const std::optional<io::Checkpoint>& checkpoint);
  void cut(Result& result, const compress::CompressionPlan& plan, Network& attached, const compress::Budget& budget,
           const compress::Scores& scores);
  compress::Proof prove(Network& masked, Network& shrunken);
  void reload_surgery(Result& result);
  void finetune(Result& result, const std::optional<io::Checkpoint>& checkpoint);
  void finetune_within_budget(const std::optional<io::Checkpoint>& checkpoint);
  void finish();
  void take_chosen();
  nlohmann::json finish_one(Result& result, const Score& before);

  TrainerSetup setup(const std::string& phase, const TrainingOptions& training, bool keep_best);
  // A folder for each target? With a budget also where there is one candidate: it may not be delivered.
  bool several() const { return task_.targets.size() > 1 || options_.has_budget(); }
  Network& teacher() { return given_teacher_ ? *given_teacher_ : original_; }
  const data::Dataset& set() const { return data_.dataset; }
  Metadata metadata(const Result& result) const;

  const CompressOptions& options_;
  CompressionTask task_;
  RunFolder& run_;
  Network original_;
  std::optional<Network> given_teacher_;
  LoadedData data_;
  std::vector<Result> results_;  // from the largest to the smallest
  std::optional<ErrorBudget> budget_;
  Stream stream_;
};

}  // namespace hinge::cli
