// hinge train and hinge finetune: plain training, from scratch or from given weights.
#include "models/registry.h"
#include "tools/hinge/commands.h"
#include "tools/hinge/session.h"

namespace hinge::cli {
namespace {

struct Options {
  std::string command;
  DataOptions data;
  WeightsOptions weights;  // train: --model and --shortcut only
  TrainingOptions training;
  DistillationOptions distillation{.weight = 0.0};
  std::string teacher, run_of;  // finetune
  RunOptions run;
};

// The file that a finished compression left, for `hinge finetune --run`.
void take_from_run(Options& options) {
  if (options.run_of.empty()) return;
  if (!options.weights.weights.empty()) fail_usage("--run and --weights name the network twice; give one");
  options.weights.weights = (std::filesystem::path(options.run_of) / "model.safetensors").string();
}

struct Inputs {
  LoadedData data;
  Network network;
  std::optional<LoadedModel> teacher;
};

// Throws where files are missing or wrong, or don't go together.
Inputs load_inputs(const Options& options) {
  const bool finetuning = options.command == "finetune";
  std::optional<LoadedModel> given;
  if (finetuning) given = load_model(options.weights);
  LoadedData loaded = load_data(options.data, given ? given->normalization : std::nullopt);
  const data::Dataset& set = loaded.dataset;
  if (given) check_fit(*given, set);
  models::ModelOptions build = options.weights.model_options();
  build.classes = set.classes;
  build.input = {set.train.height, set.train.width, set.train.channels};
  Network network = given ? std::move(given->network) : Network(models::build(options.weights.model, build));
  check_fit(network, set);
  if (!finetuning) initialise(network, options.run.seed);
  std::optional<LoadedModel> teacher;
  if (!options.teacher.empty()) {
    WeightsOptions of_teacher = options.weights;
    of_teacher.weights = options.teacher;
    teacher = load_model(of_teacher);
    check_fit(*teacher, set);
  }
  return {std::move(loaded), std::move(network), std::move(teacher)};
}

void train(const std::shared_ptr<Options>& shared, CLI::App& app, Flags& flags) {
  Options& options = *shared;
  const bool finetuning = options.command == "finetune";
  if (options.run.resume.empty() && options.data.data.empty()) fail_usage("--data is missing: which data set?");
  if (options.run.resume.empty() && !finetuning && options.weights.model.empty()) {
    fail_usage("--model is missing: which network? (known: {})", fmt::join(models::names(), ", "));
  }
  take_from_run(options);
  // Everything that can be wrong is looked at before the run folder is made.
  std::optional<Inputs> inputs;
  if (options.run.resume.empty()) {
    schedule_kind_of(options.training.schedule);
    if (options.run.out.empty()) fail_usage("--out is missing: the folder for this run");
    inputs = load_inputs(options);
  }
  RunFolder run = start_run(options.command, app, flags, options.run);
  if (!inputs) inputs = load_inputs(options);
  auto& [loaded, network, teacher] = *inputs;
  const data::Dataset& set = loaded.dataset;

  const std::optional<io::Checkpoint> checkpoint = checkpoint_of(run, set, {{"--weights", options.weights.weights}, {"--teacher", options.teacher}});
  network.move_to(options.run.chosen_device);
  if (teacher) teacher->network.move_to(options.run.chosen_device);
  Sgd optimizer(options.training.sgd());
  TrainingHooks hooks;
  Trainer trainer({.phase = options.command,
                   .dataset = &set,
                   .split = &loaded.split,
                   .options = options.training,
                   .loss = {.label_smoothing = static_cast<float>(options.training.label_smoothing),
                            .distillation_weight = teacher ? static_cast<float>(options.distillation.weight) : 0.0f,
                            .temperature = static_cast<float>(options.distillation.temperature)},
                   .seed = options.run.seed,
                   .checkpoint_every = options.run.checkpoint_every,
                   .keep_best = true,
                   .teacher = teacher ? &teacher->network : nullptr,
                   .eager = options.run.device.eager,
                   .activations = options.run.device.activations(),
                   .roll_back = options.run.on_nan == "rollback"},
                  network, optimizer, hooks, run);
  const TrainingOutcome outcome = trainer.run(checkpoint);
  write_network(run.file("model.safetensors"), network, normalization_metadata(set.normalization));

  const Score test = evaluate(network, set.test, set.normalization, all_indices(set.test), "test images");
  const Cost cost = cost_of(network.graph());
  say("{}: test error {:.2f} % (top-5 {:.2f} %), cross-entropy {:.4f}; {} parameters, {} MACs", network.graph().architecture,
      test.top1_error(), test.top5_error(), test.cross_entropy(), cost.parameters, cost.macs);
  nlohmann::json result = score_to_json(test);
  result.update(cost_to_json(cost));
  result["command"] = options.command;
  result["selected_by"] = loaded.split.held_out.empty() ? "last epoch" : "held-out images";
  result["held_out_error"] = outcome.best_error ? nlohmann::json(*outcome.best_error) : nlohmann::json();
  result["best_epoch"] = outcome.best_epoch;
  result["epochs"] = outcome.epochs;
  result["images_per_second"] = outcome.images_per_second;
  finish_run(run, options.run, result);
}

Action declare(CLI::App& app, const std::string& command) {
  auto options = std::make_shared<Options>();
  auto flags = std::make_shared<Flags>(app);
  options->command = command;
  const bool finetuning = command == "finetune";
  options->training.epochs = finetuning ? 10 : 100;
  options->training.lr = finetuning ? 0.01 : 0.1;
  options->weights.declare(*flags);
  if (finetuning) {
    flags->option("--run", options->run_of, "Take the network that this run of 'hinge compress' made");
  }
  options->data.declare(*flags, true);
  flags->group("Training");
  options->training.declare(*flags);
  if (finetuning) {
    flags->option("--teacher", options->teacher, "Learn from this network's opinion too (distillation)");
    options->distillation.weight = 0.4;
    options->distillation.declare(*flags);
  }
  options->run.declare(app, *flags);
  app.footer(finetuning
                 ? "Example:\n  hinge finetune --run RUN --data cifar10 --data-dir DIR --epochs 30 --out RUN2"
                 : "Example:\n  hinge train --model resnet20 --data cifar10 --data-dir DIR --epochs 100 --out RUN\n"
                   "  hinge train --resume RUN");
  return [options, flags, &app] { train(options, app, *flags); };
}

}  // namespace

Action declare_train(CLI::App& app) { return declare(app, "train"); }
Action declare_finetune(CLI::App& app) { return declare(app, "finetune"); }

}  // namespace hinge::cli
