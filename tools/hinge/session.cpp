#include "tools/hinge/session.h"

#include <omp.h>

#include <algorithm>

#include "engine/core/accelerator.h"
#include "engine/io/json.h"
#include "tools/hinge/group.h"
#include "tools/hinge/resident.h"

namespace hinge::cli {

namespace {

// Ranks on CPUs and GPUs would wait for each other's kind of sum, and two on one GPU halve it.
void check_devices(ProcessGroup& group, Device device) {
  const std::string mine = device.is_cpu() ? "cpu" : accelerator()->identity(device.index);
  std::vector<std::string> all;
  for (int rank = 0; rank < group.size(); ++rank) all.push_back(group.broadcast(mine, rank));
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if ((all[rank] == "cpu") != (all[0] == "cpu")) fail_usage("rank {} computes on {}, rank 0 on {}; give --device cpu, or every rank a GPU", rank, all[rank] == "cpu" ? "the CPU" : "a GPU", all[0] == "cpu" ? "the CPU" : "a GPU");
    const auto before = std::find(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(rank), all[rank]);
    if (all[rank] != "cpu" && !all[rank].empty() && before != all.begin() + static_cast<std::ptrdiff_t>(rank)) fail_usage("ranks {} and {} have the same GPU ({}); every rank needs its own: --device auto", before - all.begin(), rank, all[rank]);
  }
}

}  // namespace

RunFolder start_run(const std::string& command, CLI::App& app, Flags& flags, RunOptions& options) {
  if (options.json == "-") lines_to_stderr();
  const bool resuming = !options.resume.empty();
  if (resuming) {
    for (const CLI::Option* option : app.get_options()) {
      if (option->count() > 0 && option->get_name() != "--resume" && option->get_name() != "--on-nan" && option->get_name() != "--device" && option->get_name() != "--precision") {
        fail_usage("--resume takes every option from {}/config.json; remove {}", options.resume, option->get_name());
      }
    }
  } else if (options.out.empty()) {
    fail_usage("--out is missing: the folder for this run");
  }
  const auto choose_device = [&] {
    options.chosen_device = options.device.choose();
    if (ProcessGroup* group = process_group()) check_devices(*group, options.chosen_device);
  };
  if (!resuming) choose_device();  // before anything is made: what can't be had is said at once
  nlohmann::json config = {{"command", command}, {"options", flags.values()}};
  any_rank(false);  // all ranks have what they need: else no folder is made
  std::optional<RunFolder> opened;
  if (is_first_rank()) opened.emplace(resuming ? RunFolder::open(options.resume) : RunFolder::create(options.out, config));
  if (process_group() != nullptr) opened.emplace(RunFolder::shared(*process_group(), std::move(opened)));
  RunFolder run = std::move(*opened);
  if (resuming) {
    const std::string origin = run.file("config.json").string();
    require(run.config().contains("command") && run.config()["command"].is_string() && run.config().contains("options"), "{}: 'command' or 'options' is missing or of the wrong kind", origin);
    if (run.config()["command"] != command) {
      fail_usage("{} is a run of 'hinge {}', not of 'hinge {}'", options.resume, run.config()["command"].get<std::string>(), command);
    }
    const std::string on_nan = options.on_nan, device = options.device.device, precision = options.device.precision;
    flags.set(run.config()["options"], origin);
    if (app.get_option("--on-nan")->count() > 0) options.on_nan = on_nan;         // what stopped a run may be what a second try is given
    if (app.get_option("--device")->count() > 0) options.device.device = device;  // where it goes on is another matter than what it does
    if (app.get_option("--precision")->count() > 0) {
      if (precision != options.device.precision) say("goes on in {}, the run was begun in {}", precision, options.device.precision);
      options.device.precision = precision;
    }
    if (options.json == "-") lines_to_stderr();
  }
  if (options.tensorboard) run.write_events();
  set_threads(options.threads);
  if (process_group() != nullptr) {
    process_group()->set_timeout(options.rank_timeout);
    say("{} ranks, {} threads each", rank_count(), omp_get_max_threads());
  }
  if (resuming) choose_device();
  run.restore_choices(options.conv_choices);
  return run;
}

namespace {

// Writes what the run is made from, or compares it with what was written.
void check_inputs(RunFolder& run, const data::Dataset& dataset, const InputFiles& files) {
  nlohmann::json now = {{"data", dataset.fingerprint}};
  for (const auto& [flag, name] : files) {
    if (!name.empty()) now[flag] = fmt::format("{:016x}", data::hash_of(io::read_file(name, std::uint64_t{1} << 40)));
  }
  if (ProcessGroup* group = process_group()) {
    const std::string of_first = group->broadcast(now.dump(), 0);
    require(of_first == now.dump(), "the data or files here aren't rank 0's: fingerprints are {} here, {} there", now.dump(), of_first);
  }
  const std::filesystem::path path = run.file("inputs.json");
  if (!std::filesystem::exists(path)) return io::write_json(path, now);
  const nlohmann::json then = io::read_json(path);
  for (const auto& [what, fingerprint] : now.items()) {
    const nlohmann::json before = then.value(what, nlohmann::json());
    if (before == fingerprint) continue;
    if (what == "data") {
      fail("{}: the data have changed since this run began (fingerprint {} then, {} now)", run.path().string(), before.is_string() ? before.get<std::string>() : "none", fingerprint.get<std::string>());
    }
    fail("{}: {}, the file of {}, has changed since this run began (fingerprint {} then, {} now)", run.path().string(), files.at(what), what, before.is_string() ? before.get<std::string>() : "none", fingerprint.get<std::string>());
  }
}

}  // namespace

std::optional<io::Checkpoint> checkpoint_of(RunFolder& run, const data::Dataset& dataset, const InputFiles& files) {
  check_inputs(run, dataset, files);
  std::optional<io::Checkpoint> checkpoint = run.load();
  if (checkpoint) {  // of a run that began before there was inputs.json
    const std::string then = checkpoint->state.value("data", dataset.fingerprint);
    require(then == dataset.fingerprint, "{}: the data have changed since this run began (fingerprint {} then, {} now)",
            run.path().string(), then, dataset.fingerprint);
  }
  return checkpoint;
}

void finish_run(RunFolder& run, const RunOptions& options, nlohmann::json result) {
  result["seed"] = options.seed;
  result["environment"] = environment();
  if (process_group() != nullptr) result["ranks"] = rank_count();
  result["config"] = run.config();
  result["finished"] = utc_now();
  if (!run.rollbacks().empty()) result["rollbacks"] = run.rollbacks();
  result["peak_resident_bytes"] = peak_resident_bytes();
  io::write_json(run.file("result.json"), result);
  if (!is_first_rank()) return;
  if (options.json == "-") {
    std::fputs((io::json_text(result, "result", 2) + "\n").c_str(), stdout);
  } else if (!options.json.empty()) {
    io::write_json(options.json, result);
  }
  say("Everything is in {}", run.path().string());
}

void say_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i == 0 ? fmt::format("  {:<{}}", row[i], widths[i]) : fmt::format("  {:>{}}", row[i], widths[i]);
    }
    say("{}", line);
  }
}

}  // namespace hinge::cli
