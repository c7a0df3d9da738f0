// hinge compress: search, exact threshold, surgery with proof, fine-tuning, result.
#include "tools/hinge/commands.h"
#include "tools/hinge/compression.h"
#include "tools/hinge/recipe.h"

namespace hinge::cli {
namespace {

void compress_network(const std::shared_ptr<CompressOptions>& shared, CLI::App& app, Flags& flags) {
  CompressOptions& options = *shared;
  // Everything that can be wrong with the request is looked at before the run folder is made.
  if (options.run.resume.empty()) {
    if (!options.recipe.empty()) options.expected = apply_recipe(options.recipe, app, flags);
    LoadedModel model = load_model(options.weights);
    make_task(options, model.network.graph());
    if (options.run.out.empty()) fail_usage("--out is missing: the folder for this run");
    check_fit(model, load_data(options.data, model.normalization).dataset);
    make_task(options, model.network.graph());  // costs follow the picture, which the data may have set
  }
  RunFolder run = start_run("compress", app, flags, options.run);
  if (!options.recipe.empty()) options.expected = recipe_of(options.recipe).expected;
  LoadedModel model = load_model(options.weights);
  LoadedData data = load_data(options.data, model.normalization);
  check_fit(model, data.dataset);
  CompressionTask task = make_task(options, model.network.graph());
  Compression(options, std::move(task), run, std::move(model), std::move(data)).run();
}

}  // namespace

Action declare_compress(CLI::App& app) {
  auto options = std::make_shared<CompressOptions>();
  auto flags = std::make_shared<Flags>(app);
  options->weights.declare(*flags);
  options->data.declare(*flags, true);
  flags->group("Target");
  flags->option("--target", options->target,
                "What to keep at most: flops=0.5, params=0.6, bytes=2MB or several of them; flops=0.8,0.5,0.35 makes three networks from one search")
      ->delimiter(',');
  flags->option("--count", options->count, "What FLOPs are: macs, or reference (as the paper's program counts)");
  flags->option("--exclude", options->exclude, "Layers to leave alone (pattern, e.g. 'layer3.*')")->delimiter(',');
  flags->option("--recipe", options->recipe, "Settings of one row of the paper's tables, by name or file; other flags override them");
  flags->option("--method", options->method,
                "hinge, or a control without a search: random, svd (truncated SVD), l1-norm, fpgm, scratch (the plan's network, not its weights)");
  flags->option("--plan", options->plan, "Carry out this plan.json instead of searching");
  options->search.declare(*flags);
  flags->group("Fine-tuning");
  options->finetune.declare(*flags);
  options->distillation.declare(*flags);
  options->run.declare(app, *flags);
  app.footer(
      "Examples:\n"
      "  hinge compress --weights resnet20.safetensors --data cifar10 --data-dir DIR --target flops=0.5 --out RUN\n"
      "  hinge compress --weights vgg16.safetensors --data cifar10 --data-dir DIR --mode both --target flops=0.6,params=0.3 --out RUN\n"
      "  hinge compress --resume RUN");
  return [options, flags, &app] { compress_network(options, app, *flags); };
}

}  // namespace hinge::cli
