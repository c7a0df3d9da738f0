// hinge compress: search, exact threshold, surgery with proof, fine-tuning, result.
#include <fnmatch.h>

#include "compress/surgery.h"
#include "engine/graph/graph_json.h"
#include "engine/io/json.h"
#include "models/registry.h"
#include "tools/hinge/commands.h"
#include "tools/hinge/search.h"
#include "tools/hinge/session.h"
#include "tools/hinge/target.h"

namespace hinge::cli {
namespace {

struct Options {
  WeightsOptions weights;
  DataOptions data;
  std::vector<std::string> target = {"flops=0.5"};
  std::string count = "macs";
  std::vector<std::string> exclude;
  SearchOptions search;
  TrainingOptions finetune{.epochs = 20, .lr = 0.05};
  DistillationOptions distillation;
  RunOptions run;
};

constexpr const char* kPlanFile = "plan.json";
constexpr const char* kSurgeryFile = "surgery.safetensors";  // behind surgery, before fine-tuning
constexpr const char* kModelFile = "model.safetensors";

// One compression: what all its phases share.
class Compression {
 public:
  Compression(Options& options, RunFolder& run, LoadedModel model, LoadedData data)
      : options_(options), run_(run), original_(std::move(model.network)), data_(std::move(data)) {}

  void run(double target, Count count, std::vector<std::string> layers) {
    const std::optional<io::Checkpoint> checkpoint = checkpoint_of(run_, data_.dataset);
    const bool searched = checkpoint && checkpoint->state.at("phase") == "finetune";
    if (searched) {
      reload_surgery();
    } else {
      search(target, count, layers, checkpoint);
    }
    finetune(checkpoint);
    finish();
  }

 private:
  const data::Dataset& set() const { return data_.dataset; }

  TrainerSetup setup(const std::string& phase, const TrainingOptions& training, bool keep_best) {
    return {.phase = phase,
            .dataset = &set(),
            .split = &data_.split,
            .options = training,
            .loss = {.label_smoothing = static_cast<float>(training.label_smoothing),
                     .distillation_weight = static_cast<float>(options_.distillation.weight),
                     .temperature = static_cast<float>(options_.distillation.temperature)},
            .seed = options_.run.seed,
            .checkpoint_every = options_.run.checkpoint_every,
            .keep_best = keep_best,
            .teacher = options_.distillation.weight > 0.0 ? &original_ : nullptr};
  }

  void search(double target, Count count, const std::vector<std::string>& layers,
              const std::optional<io::Checkpoint>& checkpoint) {
    const SearchOptions& search = options_.search;
    compress::Attached attached = compress::attach(original_, layers, compress::initialisation_of(search.init));
    const compress::Budget budget(original_.graph(), attached.network.graph(), attached.pairs, count);
    say("{} layers get a sparsity-inducing matrix each; the target is {:.2f} % of {} MACs", layers.size(), 100.0 * target, cost_of(original_.graph()).macs);

    std::vector<compress::GroupSet> sets = compress::row_groups(attached.network, attached.pairs);
    // The search's own rate is constant; decay, batch and augmentation are the fine-tuning's.
    TrainingOptions training = options_.finetune;
    training.epochs = search.epochs, training.lr = search.lr, training.schedule = "constant", training.warmup = 0.0;
    TrainerSetup trainer_setup = setup("search", training, false);
    trainer_setup.loss.distillation_weight = 0.0f, trainer_setup.teacher = nullptr;  // section 5: plain cross-entropy
    compress::ProximalOptimizer optimizer(std::make_unique<Sgd>(training.sgd()),
                                          compress::make_regularizer(search.regularizer), std::move(sets));
    const auto images = static_cast<std::int64_t>(data_.split.train.size());
    const std::int64_t steps = std::max<std::int64_t>(1, images / training.batch) * search.epochs;
    SearchHooks hooks(search, target, steps, attached, optimizer, budget);
    Trainer trainer(trainer_setup, attached.network, optimizer, hooks, run_);
    const TrainingOutcome outcome = trainer.run(checkpoint);
    say("search: {} epochs, {:.0f} images/s", outcome.epochs, outcome.images_per_second);

    operate(compress::make_plan(budget, attached.pairs, hooks.final_scores(), target, search.minimum_share), attached);
  }

  // Masks, cuts and proves.
  void operate(const compress::CompressionPlan& plan, compress::Attached& attached) {
    compress::mask(plan, attached.pairs, attached.network);
    shrunken_.emplace(compress::apply(plan, attached.pairs, attached.network));
    const Cost measured = cost_of(shrunken_->graph());
    require(measured == plan.predicted_after, "surgery: the plan predicted {} MACs and {} parameters, the network has {} and {}",
            plan.predicted_after.macs, plan.predicted_after.parameters, measured.macs, measured.parameters);

    compress::Proof proof;
    data::Loader loader(set().test, set().normalization, all_indices(set().test), {.batch_size = kEvaluationBatch});
    loader.start(0);
    constexpr std::int64_t kProofImages = 1000;
    while (proof.images < kProofImages) {
      const auto batch = loader.next();
      if (!batch) break;
      compress::extend_proof(proof, attached.network, *shrunken_, batch->images, stream_);
    }
    say("surgery: {:.2f} % of the FLOPs are kept (target {:.2f} %)", 100.0 * plan.predicted_ratio(), 100.0 * plan.target);
    say("proof: on {} images the masked and the shrunken network differ by at most {:.2e} (logits up to {:.1f}; relative {:.1e}, bound {:.0e})",
        proof.images, proof.largest_difference, proof.largest_logit, proof.relative(), compress::kProofBound);
    require(proof.relative() <= compress::kProofBound,
            "proof failed: masked and shrunken network differ by {:.3e} of the largest logit, at most {:.0e} is allowed",
            proof.relative(), compress::kProofBound);
    proof_ = {{"images", proof.images}, {"largest_difference", proof.largest_difference},
              {"largest_logit", proof.largest_logit}, {"relative", proof.relative()}, {"bound", compress::kProofBound}};
    plan_ = compress::plan_to_json(plan);
    io::write_json(run_.file(kPlanFile), {{"plan", plan_}, {"proof", proof_}});
    write_network(run_.file(kSurgeryFile), *shrunken_, metadata());
  }

  void reload_surgery() {
    const nlohmann::json file = io::read_json(run_.file(kPlanFile));
    plan_ = file.at("plan"), proof_ = file.at("proof");
    const std::string name = run_.file(kSurgeryFile).string();
    shrunken_.emplace(network_from(read_model_file(name), std::nullopt, name));
  }

  Metadata metadata() const {
    Metadata result = normalization_metadata(set().normalization);
    result["hinge.plan"] = plan_.dump();
    result["hinge.proof"] = proof_.dump();
    return result;
  }

  void finetune(const std::optional<io::Checkpoint>& checkpoint) {
    Sgd optimizer(options_.finetune.sgd());
    TrainingHooks hooks;
    Trainer trainer(setup("finetune", options_.finetune, true), *shrunken_, optimizer, hooks, run_);
    outcome_ = trainer.run(checkpoint);
    write_network(run_.file(kModelFile), *shrunken_, metadata());
  }

  void finish() {
    const std::vector<int> test = all_indices(set().test);
    const Score before = evaluate(original_, set().test, set().normalization, test, "before");
    const Score after = evaluate(*shrunken_, set().test, set().normalization, test, "after");
    const Cost cost_before = cost_of(original_.graph()), cost_after = cost_of(shrunken_->graph());
    data::Loader loader(set().test, set().normalization, test, {.batch_size = 128});
    loader.start(0);
    const auto batch = loader.next();
    const std::vector<double> ms = milliseconds_per_image({&original_, &*shrunken_}, batch->images);

    const auto share = [](auto a, auto b) { return fmt::format("{:.1f} %", 100.0 * static_cast<double>(b) / static_cast<double>(a)); };
    say_table({{"", "before", "after", "kept"},
               {"top-1 error", fmt::format("{:.2f} %", before.top1_error()), fmt::format("{:.2f} %", after.top1_error()), ""},
               {"MACs", fmt::format("{}", cost_before.macs), fmt::format("{}", cost_after.macs), share(cost_before.macs, cost_after.macs)},
               {"parameters", fmt::format("{}", cost_before.parameters), fmt::format("{}", cost_after.parameters), share(cost_before.parameters, cost_after.parameters)},
               {fmt::format("ms per image (batch {})", batch->images.dim(0)), fmt::format("{:.4f}", ms[0]), fmt::format("{:.4f}", ms[1]), share(ms[0], ms[1])}});

    const auto side = [](const Score& score, const Cost& cost, double milliseconds) {
      nlohmann::json json = score_to_json(score);
      json.update(cost_to_json(cost));
      json["milliseconds_per_image"] = milliseconds;
      return json;
    };
    finish_run(run_, options_.run,
               {{"command", "compress"},
                {"architecture", original_.graph().architecture},
                {"before", side(before, cost_before, ms[0])},
                {"after", side(after, cost_after, ms[1])},
                {"flops_ratio", static_cast<double>(cost_after.macs) / static_cast<double>(cost_before.macs)},
                {"operations_ratio", static_cast<double>(cost_after.operations) / static_cast<double>(cost_before.operations)},
                {"plan", plan_},
                {"proof", proof_},
                {"selected_by", data_.split.held_out.empty() ? "last epoch" : "held-out images"},
                {"held_out_error", outcome_.best_error ? nlohmann::json(*outcome_.best_error) : nlohmann::json()},
                {"best_epoch", outcome_.best_epoch},
                {"search_epochs", options_.search.epochs},
                {"finetune_epochs", options_.finetune.epochs}});
  }

  Options& options_;
  RunFolder& run_;
  Network original_;
  LoadedData data_;
  std::optional<Network> shrunken_;
  nlohmann::json plan_, proof_;
  TrainingOutcome outcome_;
  Stream stream_;
};

// The layers that get a matrix: all that can, less those that match --exclude.
std::vector<std::string> chosen_layers(const Graph& graph, const std::vector<std::string>& exclude) {
  std::vector<std::string> layers = compress::attachable_layers(graph);
  for (const std::string& pattern : exclude) {
    const std::size_t before = layers.size();
    std::erase_if(layers, [&](const std::string& layer) { return fnmatch(pattern.c_str(), layer.c_str(), 0) == 0; });
    if (layers.size() == before) fail_usage("--exclude {}: no layer that could be compressed matches", pattern);
  }
  if (layers.empty()) fail_usage("{}: no convolution can be compressed", graph.architecture);
  return layers;
}

void compress_network(const std::shared_ptr<Options>& shared, CLI::App& app, Flags& flags) {
  Options& options = *shared;
  const auto checked_target = [&](const Network& network) {
    const Count count = count_of(options.count);
    const auto layers = chosen_layers(network.graph(), options.exclude);
    compress::make_regularizer(options.search.regularizer);
    compress::initialisation_of(options.search.init);
    schedule_kind_of(options.finetune.schedule);
    const double target = parse_flops_target(options.target);
    check_reachable(target, network.graph(), layers, count, options.search.minimum_share);
    return std::tuple(target, count, layers);
  };
  // Everything that can be wrong with the request is looked at before the run folder is made.
  if (options.run.resume.empty()) {
    LoadedModel model = load_model(options.weights);
    checked_target(model.network);
    if (options.run.out.empty()) fail_usage("--out is missing: the folder for this run");
    check_fit(model, load_data(options.data, model.normalization).dataset);
    checked_target(model.network);  // costs follow the picture, which the data may have set
  }
  RunFolder run = start_run("compress", app, flags, options.run);
  LoadedModel model = load_model(options.weights);
  LoadedData data = load_data(options.data, model.normalization);
  check_fit(model, data.dataset);
  const auto [target, count, layers] = checked_target(model.network);
  Compression(options, run, std::move(model), std::move(data)).run(target, count, layers);
}

}  // namespace

Action declare_compress(CLI::App& app) {
  auto options = std::make_shared<Options>();
  auto flags = std::make_shared<Flags>(app);
  options->weights.declare(*flags);
  options->data.declare(*flags, true);
  flags->group("Target");
  flags->option("--target", options->target, "What to keep at most, e.g. flops=0.5")->delimiter(',');
  flags->option("--count", options->count, "What FLOPs are: macs, or reference (as the paper's program counts)");
  flags->option("--exclude", options->exclude, "Layers to leave alone (pattern, e.g. 'layer3.*')")->delimiter(',');
  options->search.declare(*flags);
  flags->group("Fine-tuning");
  options->finetune.declare(*flags);
  options->distillation.declare(*flags);
  options->run.declare(app, *flags);
  app.footer("Examples:\n"
             "  hinge compress --weights resnet20.safetensors --data cifar10 --data-dir DIR --target flops=0.5 --out RUN\n"
             "  hinge compress --resume RUN");
  return [options, flags, &app] { compress_network(options, app, *flags); };
}

}  // namespace hinge::cli
