// The folder of a run: config, environment, metrics, checkpoints, results.
//
//   config.json         what the run was started with; --resume reads it back
//   environment.json    version, processor, threads
//   inputs.json         fingerprints of the data and of files given: a resumed run must find the same
//   conv_choices.json   which convolution ran for which shape: with it a repeated run makes the same bytes
//   metrics.jsonl       one JSON object per line and epoch
//   events.out.tfevents.hinge   the same for TensorBoard, where it was asked for
//   checkpoint*.safetensors   the state of the run, and the one before it
//   result.json         the outcome
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/io/checkpoint.h"
#include "engine/io/file.h"
#include "kernels/conv2d.h"
#include "tools/hinge/rank_folder.h"

namespace hinge::cli {

class RunFolder {
 public:
  // A new run: the folder must not hold one already. Only one process may have a run open.
  static RunFolder create(const std::filesystem::path& path, const nlohmann::json& config);
  static RunFolder open(const std::filesystem::path& path);
  // Rank 0's `run` for it, and for the others a folder of their own with the same files. Rank 0 alone writes checkpoints and metrics.
  static RunFolder shared(ProcessGroup& group, std::optional<RunFolder> run);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(const std::string& name) const { return path_ / name; }
  const nlohmann::json& config() const { return config_; }

  // Adds what rolled_back was told, which load() reads back.
  void save(io::Checkpoint checkpoint);
  // What was saved last, if anything; says on the console if the newest file was damaged.
  std::optional<io::Checkpoint> load();

  // A phase went back to its last checkpoint (--on-nan rollback): its name, where, why.
  void rolled_back(const nlohmann::json& event) { rollbacks_.push_back(event); }
  const nlohmann::json& rollbacks() const { return rollbacks_; }
  int rollbacks_in(const std::string& phase) const;

  void metric(const nlohmann::json& line);
  // From now on metrics go into TensorBoard's event file too.
  void write_events();
  // Forgets metrics written after the checkpoint that says `bytes`.
  void rewind_metrics(std::uint64_t bytes);
  std::uint64_t metric_bytes() const { return metrics_->size(); }

  // Writes conv_choices.json if choices changed since the last call: were added, or replaced where a recorded form
  // does not exist here. Ranks then take rank 0's.
  void record_choices();
  // Choices recorded here, or in `from` (a conv_choices.json of another run) where given.
  void restore_choices(const std::string& from);

 private:
  explicit RunFolder(std::filesystem::path path);
  void keep_events();

  std::filesystem::path path_;
  nlohmann::json config_;
  std::unique_ptr<io::FolderLock> lock_;
  std::unique_ptr<io::AppendFile> metrics_, events_;
  kernels::ConvChoices recorded_choices_;
  nlohmann::json rollbacks_ = nlohmann::json::array();
  ProcessGroup* group_ = nullptr;
  std::unique_ptr<ScratchFolder> scratch_;  // of a rank that isn't the first
};

// Version, processor, thread count, compiler.
nlohmann::json environment();
// Seconds since 1970 as "2026-11-23T23:54:29Z".
std::string utc_now();

}  // namespace hinge::cli
