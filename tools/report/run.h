// What a report shows of one run, as plain data read from the run's folder; nothing else is looked at.
//
//   config.json        the options (else "config" of result.json)
//   environment.json   (else "environment" of result.json)
//   metrics.jsonl      one line per epoch
//   result.json        the outcome; an unfinished run has none yet
//   groups.json        per target: why each layer kept what it kept
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace hinge::report {

// One network on the test images.
struct Score {
  double top1_error = 0.0, cross_entropy = 0.0;
  std::optional<double> top5_error;
  std::int64_t parameters = 0, macs = 0;
  std::optional<double> milliseconds;  // per image
};

struct Proof {
  std::int64_t images = 0;
  double largest_difference = 0.0, largest_logit = 0.0, relative = 0.0, bound = 0.0;
};

enum class Fate { kDecomposed,
                  kPruned,
                  kKept };

// A set of groups of a layer, or a layer of which nothing could be removed (groups = 0).
struct Layer {
  std::string name;
  Fate fate = Fate::kKept;
  std::string unit;  // "ranks", "channel groups"
  int groups = 0, kept = 0, carriers = 0;
  std::string reason;
};

// ms per image of a layer and of what became of it, in calls of `batch` images.
struct LayerTime {
  std::string layer;
  double before = 0.0, after = 0.0;
};

// One target's network.
struct Compressed {
  std::string target;
  Score before, after;
  std::optional<Proof> proof;
  std::vector<Layer> layers;
  std::vector<LayerTime> times;
  std::int64_t timed_batch = 0;
};

// --max-error-increase: which networks were fine-tuned to find the smallest within the budget, in the order in which they were.
struct ErrorBudget {
  struct Trial {
    std::string target;
    double held_out_error = 0.0, increase = 0.0;  // per cent, points
    bool within = false;
  };
  double increase = 0.0, before = 0.0;  // points allowed; held-out error of the network as it came
  std::vector<std::string> candidates;  // from the largest to the smallest
  std::vector<Trial> trials;
  std::optional<std::string> chosen;
};

struct Epoch {
  std::string phase;  // "search", "finetune", "finetune flops-0.5", "train"
  int number = 1;
  std::optional<double> train_loss, train_error, held_out_loss, held_out_error, flops_ratio, lambda, penalty;
  std::vector<std::vector<int>> histograms;  // [set, bin]: groups by score; bin b holds [b / 10, (b + 1) / 10), the last is open
};

struct Run {
  std::string folder;  // as it was given
  std::string data;    // the set's name; for pictures in a folder, the folder's
  std::string command, architecture, method, mode, finished, selected_by;
  std::vector<Compressed> compressed;  // of `hinge compress`, from the largest target to the smallest
  std::optional<Score> trained;        // of `hinge train` and `finetune`
  std::optional<ErrorBudget> budget;
  std::vector<Epoch> epochs;
  std::vector<std::string> sets;                   // names of the histograms' rows
  nlohmann::json config;                           // {"command", "options"}
  std::map<std::string, std::string> environment;  // name and value, for people
  nlohmann::json expected;                         // the recipe's row of the paper's tables, or null
};

// Throws Error that names the file where something is missing or of the wrong type; UsageError if `folder` is no run.
Run read_run(const std::filesystem::path& folder);

// The command line that repeats a run with this config: "hinge compress", "--batch 128" and so on, every option that has a
// value, quoted for a shell.
std::vector<std::string> command_line(const nlohmann::json& config);

}  // namespace hinge::report
