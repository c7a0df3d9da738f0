// The request: its options, and what is checked and measured before anything is trained.
#include <charconv>
#include <cmath>

#include "compress/controls.h"
#include "engine/core/names.h"
#include "engine/io/json.h"
#include "tools/hinge/compression.h"
#include "tools/hinge/group.h"
#include "tools/hinge/target.h"
#include "tools/hinge/user_cache.h"

namespace hinge::cli {
namespace {

const std::vector<std::string> kMethods = {"hinge", "random", "svd", "l1-norm", "fpgm", "scratch"};

// Where layers' times are kept, or "" where there is no home for them.
std::filesystem::path times_file(const CompressOptions& options) {
  if (!options.layer_times.empty()) return options.layer_times;
  const std::filesystem::path cache = user_cache();
  return cache.empty() ? cache : cache / "layer-times.json";
}

std::shared_ptr<const compress::MeasuredClock> clock_for(const CompressOptions& options, const Graph& dense) {
  if (process_group() != nullptr) fail_usage("--target latency and --align measured: times are measured by one process alone; compress without mpirun (fine-tuning may have several)");
  set_threads(options.run.threads);
  const std::filesystem::path file = times_file(options);
  const nlohmann::json known = !file.empty() && std::filesystem::exists(file) ? io::read_json(file) : nlohmann::json();
  Network network(dense);
  network.move_to(options.run.device.choose_quietly());
  return std::make_shared<compress::MeasuredClock>(network, compress::LatencyOptions{.batch = options.latency_batch}, known);
}

// A whole number of channels, or 0: none. Throws UsageError for anything but what --align may be.
std::int64_t multiple_of(const std::string& align) {
  if (align == "auto" || align == "none" || align == "measured") return 0;
  std::int64_t multiple = 0;
  const auto [end, error] = std::from_chars(align.data(), align.data() + align.size(), multiple);
  if (error != std::errc() || end != align.data() + align.size() || multiple < 1 || multiple > 4096) {
    fail_usage("--align {}: expected auto, none, measured, or a number of channels from 1 to 4096", align);
  }
  return multiple;
}

void save_times(const CompressOptions& options, const compress::MeasuredClock& clock) {
  const std::filesystem::path file = times_file(options);
  if (file.empty()) return;
  std::error_code ignored;
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path(), ignored);
  if (options.layer_times.empty() && !std::filesystem::is_directory(file.parent_path())) return;  // a cache is no reason to stop
  io::write_json(file, clock.table());
}

}  // namespace

void CompressOptions::declare(CLI::App& app, Flags& flags) {
  weights.declare(flags);
  data.declare(flags, true);
  flags.group("Target");
  flags.option("--target", target,
               "What to keep at most: flops=0.5, params=0.6, bytes=2MB, latency=0.5 or latency=3.1ms (measured here), or several of them; "
               "flops=0.8,0.5,0.35 makes three networks from one search")
      ->delimiter(',');
  flags.option("--max-error-increase", max_error_increase,
               "Points of top-1 error on the held-out images: the smallest network that keeps within it, between the original and --target "
               "(if not given, the smallest that can be reached); fine-tunes three or four (below 0: none)");
  flags.option("--count", count, "What FLOPs are: macs, or reference (as the paper's program counts)");
  flags.option("--latency-batch", latency_batch, "Images in the call whose time a latency target is about")->check(CLI::Range(1, 65536));
  flags.option("--align", align,
               "Round what stays of each layer up: to multiples of so many channels (8), or measured: to as many as take the same time here, for "
               "--latency-batch; none; auto is measured for a target in time, else none. Targets are met all the same");
  flags.option("--layer-times", layer_times, "File that keeps what layers were measured to take (default: hinge/layer-times.json in the user's cache)");
  flags.option("--exclude", exclude, "Layers to leave alone (pattern, e.g. 'layer3.*')")->delimiter(',');
  flags.option("--recipe", recipe, "Settings of one row of the paper's tables, by name or file; other flags override them");
  flags.option("--method", method,
               "hinge, or a control without a search: random, svd (truncated SVD), l1-norm, fpgm, scratch (the plan's network, not its weights)");
  flags.option("--plan", plan, "Carry out this plan.json instead of searching");
  search.declare(flags);
  flags.group("Fine-tuning");
  finetune.declare(flags);
  distillation.declare(flags);
  flags.option("--teacher", teacher, "Distil from this network instead of the uncompressed one: safetensors file, same classes and pictures");
  flags.option("--teacher-model", teacher_model, "What that file holds, where it doesn't say");
  run.declare(app, flags);
}

compress::GroupOptions CompressOptions::groups() const {
  compress::GroupOptions groups{.mode = compress::mode_of(search.mode), .exclude = exclude, .residual = search.residual};
  const bool filters = method == "l1-norm" || method == "fpgm";
  if (filters && groups.mode == compress::Mode::kAuto) groups.mode = compress::Mode::kPrune;  // they rank filters, not ranks
  return groups;
}

namespace {

// Throws UsageError unless the request goes with an error budget; the targets to choose from.
std::vector<compress::Target> candidates(const CompressOptions& options, const std::vector<compress::Target>& targets) {
  if (options.data.held_out < 1) fail_usage("--max-error-increase is decided on held-out images; --held-out is {}", options.data.held_out);
  if (!options.plan.empty()) fail_usage("--max-error-increase chooses among several networks; --plan is one");
  const compress::Target& smallest = targets.back();
  if (!smallest.flops || smallest.parameters || smallest.bytes) {
    fail_usage("--max-error-increase goes with --target flops=..., found {}", smallest.to_string());
  }
  if (targets.size() > 1 || *smallest.flops >= 1.0) return targets;
  std::vector<compress::Target> ladder;
  for (double share : ladder_to(*smallest.flops)) {
    ladder.push_back(smallest);
    ladder.back().flops = share;
  }
  return ladder;
}

}  // namespace

std::string smallest_target(const CompressOptions& options, const Graph& dense) {
  CompressOptions any = options;
  any.max_error_increase = -1.0, any.target = {"flops=1"};
  const CompressionTask task = make_task(any, dense);
  const compress::Budget budget(task.structure);
  const double least = task.targets[0].flops_ratio(compress::least_size(budget, task.selection), budget.dense());
  return fmt::format("flops={}", std::ceil(100.0 * least) / 100.0);
}

CompressionTask make_task(const CompressOptions& options, const Graph& dense) {
  if (!std::isfinite(options.max_error_increase)) fail_usage("--max-error-increase is {}, expected points of error, e.g. 0.5", options.max_error_increase);
  if (std::ranges::find(kMethods, options.method) == kMethods.end()) {
    fail_usage("unknown method '{}' (known: {}){}", options.method, fmt::join(kMethods, ", "), did_you_mean(options.method, kMethods));
  }
  if (options.method == "scratch" && options.plan.empty()) {
    fail_usage("--method scratch trains a compressed architecture from scratch: say which with --plan RUN/plan.json");
  }
  const auto regularizer = compress::make_regularizer(options.search.regularizer, options.search.parsed_regularizer_options());
  if (options.search.overlap == "exact" && !regularizer->info().convex) {
    fail_usage("--overlap exact needs a convex penalty, {} is not", options.search.regularizer);
  }
  compress::sparsity_method_of(options.search.optimizer);
  schedule_kind_of(options.finetune.schedule);
  const compress::Initialisation init = compress::initialisation_of(options.search.init);
  const std::int64_t multiple = multiple_of(options.align);
  CompressionTask task{.targets = parse_targets(options.target, count_of(options.count)), .structure = {}, .clock = {}, .selection = {}};

  if (options.has_budget()) task.targets = candidates(options, task.targets);

  const compress::GroupOptions groups = options.groups();
  for (const std::string& pattern : options.exclude) {
    const auto refused = compress::choose_groups(dense, {.mode = groups.mode, .exclude = {pattern}, .residual = groups.residual}).refused;
    if (std::ranges::none_of(refused, [](const auto& r) { return r.reason == "excluded"; })) {
      fail_usage("--exclude {}: no layer that could be compressed matches", pattern);
    }
  }
  std::vector<std::int64_t> ranks;
  for (const std::string& layer : compress::choose_groups(dense, groups).attach) {
    const auto& conv = std::get<ConvAttributes>(dense.at(dense.find(layer)).attributes);
    ranks.push_back(compress::rank_of(init, conv.out, conv.in * conv.kernel_h * conv.kernel_w));
  }
  task.structure = compress::make_structure(dense, groups, ranks);
  if (task.structure.sets.empty()) {
    std::string reasons;
    for (const auto& refusal : task.structure.choice.refused) reasons += fmt::format("\n  {}: {}", refusal.layer, refusal.reason);
    fail_usage("{}: nothing can be removed in mode {}{}", dense.architecture, compress::name_of(groups.mode), reasons);
  }
  const auto controls = compress::control_names();
  if (std::ranges::find(controls, options.method) != controls.end()) check_control(compress::control_of(options.method), task.structure);
  std::shared_ptr<const compress::MeasuredClock> clock;
  const bool in_time = std::ranges::any_of(task.targets, &compress::Target::wants_time);
  if (in_time || options.align == "measured") clock = clock_for(options, dense);
  task.clock = clock;
  const compress::Budget budget(task.structure, clock);  // measures what it may be asked
  if (clock != nullptr) save_times(options, *clock);
  if (clock != nullptr && clock->measured() > 0) {
    const std::filesystem::path file = times_file(options);
    say("{} times of layers measured for calls of {}{}", clock->measured(), clock->batch(), file.empty() ? "" : fmt::format(", kept in {}", file.string()));
  }
  task.selection = options.search.selection(task.structure);
  if (multiple > 1) task.selection.rounding = compress::rounded_to_multiples(budget, multiple);
  if (options.align == "measured" || (options.align == "auto" && in_time)) task.selection.rounding = compress::rounded_where_free(budget);
  for (const compress::Target& target : task.targets) check_reachable(target, budget, task.selection);
  return task;
}

}  // namespace hinge::cli
