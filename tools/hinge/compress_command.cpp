// hinge compress: search, exact threshold, surgery with proof, fine-tuning, result.
#include "engine/io/json.h"
#include "tools/hinge/commands.h"
#include "tools/hinge/compression.h"
#include "tools/hinge/recipe.h"

namespace hinge::cli {
namespace {

std::optional<LoadedModel> teacher_of(const CompressOptions& options, const data::Dataset& dataset) {
  if (options.teacher.empty()) {
    if (!options.teacher_model.empty()) fail_usage("--teacher-model {} says what is in a file, but --teacher names none", options.teacher_model);
    return std::nullopt;
  }
  if (options.distillation.weight <= 0.0 && options.search.distill <= 0.0) fail_usage("--teacher {} is asked nothing: --distill and --search-distill are 0", options.teacher);
  LoadedModel teacher = load_model({.weights = options.teacher, .model = options.teacher_model, .shortcut = options.weights.shortcut});
  check_fit(teacher, dataset);
  return teacher;
}

void compress_network(const std::shared_ptr<CompressOptions>& shared, CLI::App& app, Flags& flags) {
  CompressOptions& options = *shared;
  std::optional<LoadedData> data;
  // Everything that can be wrong with the request is looked at before the run folder is made.
  if (options.run.resume.empty()) {
    if (!options.recipe.empty()) options.expected = apply_recipe(options.recipe, app, flags);
    LoadedModel model = load_model(options.weights);
    if (!options.recipe.empty()) check_recipe(recipe_of(options.recipe), model.network.graph().architecture, options.data.data);
    const bool open_target = options.has_budget() && options.recipe.empty() && app.get_option("--target")->count() == 0;
    const auto check_task = [&] {
      if (open_target) options.target = {smallest_target(options, model.network.graph())};
      make_task(options, model.network.graph());
    };
    check_task();
    if (options.run.out.empty()) fail_usage("--out is missing: the folder for this run");
    data = load_data(options.data, model.normalization);
    check_fit(model, data->dataset);
    teacher_of(options, data->dataset);
    check_task();  // costs follow the picture, which the data may have set
  }
  RunFolder run = start_run("compress", app, flags, options.run);
  if (!options.recipe.empty()) options.expected = recipe_of(options.recipe).expected;
  LoadedModel model = load_model(options.weights);
  if (!data) data = load_data(options.data, model.normalization);
  check_fit(model, data->dataset);
  // A resumed run steers by the times that it began with.
  const std::filesystem::path times = run.file("layer_times.json");
  if (std::filesystem::exists(times)) options.layer_times = times.string();
  CompressionTask task = make_task(options, model.network.graph());
  if (const auto* clock = dynamic_cast<const compress::MeasuredClock*>(task.clock.get())) io::write_json(times, clock->table());
  std::optional<LoadedModel> teacher = teacher_of(options, data->dataset);
  Compression(options, std::move(task), run, std::move(model), std::move(teacher), std::move(*data)).run();
}

}  // namespace

Action declare_compress(CLI::App& app) {
  auto options = std::make_shared<CompressOptions>();
  auto flags = std::make_shared<Flags>(app);
  options->declare(app, *flags);
  app.footer(
      "Examples:\n"
      "  hinge compress --weights resnet20.safetensors --data cifar10 --data-dir DIR --target flops=0.5 --out RUN\n"
      "  hinge compress --weights resnet20.safetensors --data cifar10 --data-dir DIR --mode both --target flops=0.6,params=0.5 --out RUN2\n"
      "  hinge compress --weights resnet20.safetensors --data cifar10 --data-dir DIR --max-error-increase 0.5 --out RUN3\n"
      "  hinge compress --resume RUN");
  return [options, flags, &app] { compress_network(options, app, *flags); };
}

}  // namespace hinge::cli
