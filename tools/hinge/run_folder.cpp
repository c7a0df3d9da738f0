#include "tools/hinge/run_folder.h"

#include <omp.h>
#include <sys/resource.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <sstream>

#include "engine/core/fault.h"
#include "engine/core/processor.h"
#include "engine/io/json.h"
#include "engine/io/tfrecord.h"
#include "hinge_version.h"
#include "tools/hinge/console.h"
#include "tools/hinge/device_option.h"
#include "tools/hinge/tensorboard.h"

namespace hinge::cli {
namespace {

constexpr const char* kConfig = "config.json";
constexpr const char* kChoices = "conv_choices.json";

}  // namespace

std::string utc_now() {
  const auto now = static_cast<std::time_t>(wall_clock());
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

nlohmann::json environment() {
  return {{"hinge", HINGE_VERSION}, {"build", HINGE_BUILD}, {"processor", processor_name()}, {"threads", omp_get_max_threads()}, {"device", device_description()}, {"convolutions", kernels::conv_library()}, {"started", utc_now()}};
}

RunFolder::RunFolder(std::filesystem::path path) : path_(std::move(path)) {
  lock_ = std::make_unique<io::FolderLock>(path_);
}

RunFolder RunFolder::create(const std::filesystem::path& path, const nlohmann::json& config) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  require(!error, "cannot create the run folder {}: {}", path.string(), error.message());
  RunFolder run(path);
  if (std::filesystem::exists(path / kConfig)) {
    fail_usage("{} already holds a run; continue it with --resume {} or choose another --out", path.string(), path.string());
  }
  run.config_ = config;
  run.metrics_ = std::make_unique<io::AppendFile>(path / "metrics.jsonl");
  run.metrics_->truncate(0);
  io::write_json(path / "environment.json", environment());
  io::write_json(path / kConfig, config);  // last: a folder with a config is a run
  return run;
}

RunFolder RunFolder::open(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path / kConfig)) {
    fail_usage("{} holds no run to resume: it has no {}", path.string(), kConfig);
  }
  RunFolder run(path);
  run.config_ = io::read_json(path / kConfig);
  run.metrics_ = std::make_unique<io::AppendFile>(path / "metrics.jsonl");
  return run;
}

RunFolder RunFolder::shared(ProcessGroup& group, std::optional<RunFolder> run) {
  std::unique_ptr<ScratchFolder> scratch;
  if (!run) scratch = std::make_unique<ScratchFolder>();
  share_files(group, run ? run->path() : "", run ? "" : scratch->path(), false);
  if (!run) run.emplace(open(scratch->path()));
  run->group_ = &group;
  run->scratch_ = std::move(scratch);
  return std::move(*run);
}

void RunFolder::save(io::Checkpoint checkpoint) {
  record_choices();
  if (scratch_) return;
  if (!rollbacks_.empty()) checkpoint.state["rollbacks"] = rollbacks_;
  io::save_checkpoint(path_, "checkpoint", checkpoint);
}

std::optional<io::Checkpoint> RunFolder::load() {
  if (group_ != nullptr) share_files(*group_, path_, path_, true);
  auto checkpoint = io::load_checkpoint(path_, "checkpoint");
  if (checkpoint && !checkpoint->warning.empty()) say("warning: {}", checkpoint->warning);
  rollbacks_ = checkpoint ? checkpoint->state.value("rollbacks", nlohmann::json::array()) : nlohmann::json::array();
  return checkpoint;
}

int RunFolder::rollbacks_in(const std::string& phase) const {
  return static_cast<int>(std::ranges::count_if(rollbacks_, [&](const auto& event) { return event.at("phase") == phase; }));
}

void RunFolder::metric(const nlohmann::json& line) {
  if (scratch_) return;
  metrics_->line(io::json_text(line, "metrics"));
  if (events_) events_->append(scalars_record(line, wall_clock()));
}

void RunFolder::write_events() {
  if (scratch_) return;
  events_ = std::make_unique<io::AppendFile>(file(kEventsFile));
  keep_events();
}

void RunFolder::rewind_metrics(std::uint64_t bytes) {
  if (scratch_) return;
  if (metrics_->size() > bytes) metrics_->truncate(bytes);
  if (events_) keep_events();
}

// As many records as there are lines of metrics, and the version's; what a kill left undone between the two is made up for.
void RunFolder::keep_events() {
  std::vector<nlohmann::json> lines;
  std::istringstream metrics(io::read_file(file("metrics.jsonl")));
  for (std::string line; std::getline(metrics, line);) lines.push_back(io::parse_json(line, file("metrics.jsonl").string()));
  const std::string records = io::read_file(file(kEventsFile));
  const auto wanted = static_cast<std::int64_t>(lines.size()) + 1;
  events_->truncate(io::tfrecord_offset(records, wanted));
  for (std::int64_t there = 0; there < wanted; ++there) {
    if (io::tfrecord_offset(records, there + 1) > io::tfrecord_offset(records, there)) continue;
    events_->append(there == 0 ? version_record(wall_clock()) : scalars_record(lines[static_cast<std::size_t>(there - 1)], wall_clock()));
  }
}

void RunFolder::record_choices() {
  kernels::ConvChoices choices = kernels::conv_choices();
  if (group_ != nullptr) {
    double changed = !scratch_ && choices != recorded_choices_ ? 1.0 : 0.0;
    group_->sum({&changed, 1});
    if (changed == 0.0) return;
    const std::string of_first = group_->broadcast(scratch_ ? "" : nlohmann::json(choices).dump(), 0);
    if (scratch_) {  // shapes that only this rank has keep their own
      for (const auto& [shape, choice] : nlohmann::json::parse(of_first).get<kernels::ConvChoices>()) choices[shape] = choice;
      kernels::set_conv_choices(choices);
    }
  }
  if (choices == recorded_choices_) return;
  io::write_json(file(kChoices), choices);
  recorded_choices_ = std::move(choices);
}

void RunFolder::restore_choices(const std::string& from) {
  const std::filesystem::path source = std::filesystem::exists(file(kChoices)) || from.empty() ? file(kChoices) : std::filesystem::path(from);
  if (!std::filesystem::exists(source)) {
    if (!from.empty()) fail_usage("--conv-choices {}: no such file", from);
    return;
  }
  const nlohmann::json json = io::read_json(source);
  try {
    kernels::set_conv_choices(json.get<kernels::ConvChoices>());
  } catch (const nlohmann::json::exception&) {
    fail("{}: expected an object of strings", source.string());
  }
}

}  // namespace hinge::cli
