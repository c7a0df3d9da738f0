// The work: search, surgery with proof, fine-tuning, result. What is asked is checked in compression_task.cpp.
#include "tools/hinge/compression.h"

#include <cmath>

#include "compress/controls.h"
#include "engine/io/json.h"
#include "tools/hinge/group.h"
#include "tools/hinge/group_report.h"
#include "tools/hinge/layer_timing.h"
#include "tools/report/page.h"

namespace hinge::cli {
namespace {

constexpr const char* kPlanFile = "plan.json";
constexpr const char* kSurgeryFile = "surgery.safetensors";
constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kTunedFile = "tuned.json";
constexpr std::int64_t kProofImages = 1000;
constexpr int kTimedBatch = 128;

constexpr int kSettlingRounds = 6;
constexpr double kLatencySlack = 0.04;  // a measured time this far below its target is close enough

std::string share(std::int64_t before, std::int64_t after) {
  return fmt::format("{:.1f} %", 100.0 * static_cast<double>(after) / static_cast<double>(before));
}

}  // namespace

Compression::Compression(const CompressOptions& options, CompressionTask task, RunFolder& run, LoadedModel model, std::optional<LoadedModel> teacher, LoadedData data)
    : options_(options), task_(std::move(task)), run_(run), original_(std::move(model.network)), data_(std::move(data)) {
  if (teacher) given_teacher_.emplace(std::move(teacher->network));
  for (const compress::Target& target : task_.targets) {
    const std::string name = fmt::format("flops-{}", target.flops.value_or(1.0));
    results_.push_back({.target = target,
                        .folder = several() ? run_.path() / name : run_.path(),
                        .phase = several() ? "finetune " + name : "finetune",
                        .plan = {},
                        .proof = {},
                        .network = {},
                        .outcome = {},
                        .tuned = false});
  }
}

void Compression::run() {
  const std::optional<io::Checkpoint> checkpoint = checkpoint_of(run_, data_.dataset, {{"--weights", options_.weights.weights}, {"--plan", options_.plan}, {"--teacher", options_.teacher}});
  const std::string phase = checkpoint ? checkpoint->state.at("phase").get<std::string>() : "search";
  // A teacher that was trained on other pictures, or normalised otherwise, is seen here and not in the result.
  if (given_teacher_ && !data_.split.held_out.empty()) {
    const OnDevice there(options_.run.chosen_device, {&teacher()});
    say("teacher: {} has a held-out error of {:.2f} %", options_.teacher, evaluate(teacher(), set().train, set().normalization, data_.split.held_out, "teacher").top1_error());
  }
  if (phase == "search") {
    operate(checkpoint);
  } else {
    for (Result& result : results_) reload_surgery(result);
  }
  if (options_.has_budget()) {
    finetune_within_budget(checkpoint);
  } else {
    for (Result& result : results_) finetune(result, checkpoint);
  }
  finish();
  if (budget_ && !budget_->chosen()) {
    const ErrorBudget::Trial& trial = budget_->trials().back();
    fail(
        "no network within the budget: held-out error {:.2f} % before, at most {:.2f} % allowed, and {} has {:.2f} % (what was tried is in {}; "
        "more --epochs, or a --target above, may help)",
        budget_->before(), budget_->before() + budget_->increase(), results_[static_cast<std::size_t>(trial.network)].target.to_string(), trial.error, run_.path().string());
  }
}

TrainerSetup Compression::setup(const std::string& phase, const TrainingOptions& training, bool keep_best) {
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
          .teacher = options_.distillation.weight > 0.0 ? &teacher() : nullptr,
          .eager = options_.run.device.eager,
          .activations = options_.run.device.activations(),
          .roll_back = options_.run.on_nan == "rollback"};
}

std::vector<Arrival> Compression::search(Network& attached, const compress::Budget& budget, const std::optional<io::Checkpoint>& checkpoint) {
  const SearchOptions& search = options_.search;
  // The search's own rate is constant; decay, batch and augmentation are the fine-tuning's.
  TrainingOptions training = options_.finetune;
  training.epochs = search.epochs, training.lr = search.lr, training.schedule = "constant", training.warmup = 0.0, training.ema = 0.0;
  TrainerSetup trainer_setup = setup("search", training, false);
  trainer_setup.loss.distillation_weight = static_cast<float>(search.distill);
  trainer_setup.teacher = search.distill > 0.0 ? &teacher() : nullptr;
  const OnDevice there(options_.run.chosen_device, {&attached, &original_, &teacher()});
  compress::ProximalOptimizer optimizer(
      std::make_unique<Sgd>(training.sgd()), compress::make_regularizer(search.regularizer, search.parsed_regularizer_options()),
      compress::penalised_sets(attached, task_.structure),
      {.method = compress::sparsity_method_of(search.optimizer), .every = search.prox_every, .momentum = training.momentum, .exact_overlap = search.overlap == "exact"});
  const auto images = static_cast<std::int64_t>(data_.split.train.size());
  const std::int64_t steps = std::max<std::int64_t>(1, images / training.batch) * search.epochs;
  SearchHooks hooks(search, task_.targets, steps, task_.structure, task_.selection, attached, optimizer, budget);
  Trainer trainer(trainer_setup, attached, optimizer, hooks, run_);
  const TrainingOutcome outcome = trainer.run(checkpoint);
  say("search: {} epochs, {:.0f} images/s", outcome.epochs, outcome.images_per_second);
  return hooks.arrivals();
}

std::vector<Arrival> Compression::arrivals_of_control(Network& attached) {
  const compress::Control control = compress::control_of(options_.method);
  const compress::Scores scores = compress::control_scores(control, task_.structure, original_, attached, options_.run.seed, stream_);
  std::map<std::string, Tensor> values;
  for (const auto& [name, tensor] : attached.values()) values.emplace(name, tensor.clone());
  return std::vector<Arrival>(task_.targets.size(), {values, scores});
}

void Compression::operate(const std::optional<io::Checkpoint>& checkpoint) {
  const SearchOptions& search = options_.search;
  if (options_.method == "scratch") initialise(original_, options_.run.seed);
  compress::Attached attached = compress::attach(original_, task_.structure.choice.attach, compress::initialisation_of(search.init),
                                                 search.noise(options_.run.seed));
  const compress::Budget budget(task_.structure, task_.clock);
  say("{} sets of groups, {} matrices attached, mode {}; the target is {} of {} MACs and {} parameters", task_.structure.sets.size(),
      task_.structure.pairs.size(), compress::name_of(options_.groups().mode), task_.targets.back().to_string(), budget.dense().cost.macs,
      budget.dense().cost.parameters);
  if (!options_.plan.empty()) {
    const nlohmann::json file = io::read_json(options_.plan);
    const compress::CompressionPlan given = compress::plan_from_json(file.contains("plan") ? file.at("plan") : file);
    compress::check_plan(given, task_.structure);
    std::vector<std::vector<int>> kept;
    for (const auto& edit : given.sets) kept.push_back(edit.kept);
    const auto plan = compress::plan_keeping(task_.structure, budget, attached.network, kept, given.target);
    cut(results_[0], plan, attached.network, budget, compress::group_scores(compress::penalised_sets(attached.network, task_.structure), stream_));
    return;
  }
  std::vector<Arrival> arrivals = options_.method == "hinge" ? this->search(attached.network, budget, checkpoint) : arrivals_of_control(attached.network);
  for (std::size_t i = 0; i < results_.size(); ++i) {
    attached.network.set_values(arrivals[i].values);
    const auto plan = settle(attached.network, budget, arrivals[i].scores, task_.targets[i]);
    cut(results_[i], plan, attached.network, budget, arrivals[i].scores);
    if (i + 1 < results_.size()) arrivals[i + 1].scores = compress::scores_after(plan, std::move(arrivals[i + 1].scores));
  }
}

// The plan for a target. A predicted time is held against the clock on the real networks, and the plan is made again for a
// prediction that is off by as much, until the measured time is right.
compress::CompressionPlan Compression::settle(const Network& attached, const compress::Budget& budget, const compress::Scores& scores,
                                              const compress::Target& target) {
  if (!target.wants_time()) return compress::make_plan(task_.structure, budget, attached, scores, target, task_.selection);
  const FeatureShape& in = original_.graph().input;
  const Tensor images = Tensor::full({options_.latency_batch, in.h, in.w, in.c}, 0.5f);
  compress::Target aim = target;
  std::optional<compress::CompressionPlan> best;
  double best_ratio = 0.0;
  for (int round = 0; round < kSettlingRounds; ++round) {
    compress::CompressionPlan plan = compress::make_plan(task_.structure, budget, attached, scores, aim, task_.selection);
    plan.target = target;
    Network shrunken = compress::apply(plan, task_.structure, attached);
    const OnDevice there(options_.run.chosen_device, {&original_, &shrunken});
    const std::vector<double> ms = milliseconds_per_image({&original_, &shrunken}, images);
    const double call = 1e-3 * ms[1] * static_cast<double>(options_.latency_batch);
    const double wanted = target.latency ? std::min(*target.latency, target.seconds ? *target.seconds / call * ms[1] / ms[0] : 1.0) : *target.seconds / call * ms[1] / ms[0];
    const double ratio = ms[1] / ms[0];
    say("latency: predicted {:.1f} %, measured {:.1f} % of the time of a call of {} ({:.4f} ms); the target is {:.1f} %",
        100.0 * plan.predicted_after.seconds / plan.before.seconds, 100.0 * ratio, options_.latency_batch, 1e3 * call, 100.0 * wanted);
    const bool met = ratio <= wanted, best_met = best && best_ratio <= wanted;
    if (!best || (met && (!best_met || ratio > best_ratio)) || (!met && !best_met && ratio < best_ratio)) best = plan, best_ratio = ratio;
    if (met && ratio >= (1.0 - kLatencySlack) * wanted) break;
    const double correction = (1.0 - kLatencySlack / 2.0) * wanted / ratio;
    if (aim.latency) aim.latency = std::min(1.0, *aim.latency * correction);
    if (aim.seconds) aim.seconds = *aim.seconds * correction;
    if (met && plan.predicted_after.cost.macs == plan.before.cost.macs) break;  // nothing is removed any more
  }
  return *best;
}

// Masks, cuts and proves.
void Compression::cut(Result& result, const compress::CompressionPlan& plan, Network& attached, const compress::Budget& budget,
                      const compress::Scores& scores) {
  result.network.emplace(compress::apply(plan, task_.structure, attached));
  compress::Scores norms;
  for (const auto& set : task_.structure.sets) {
    const std::vector<float> of_set = compress::group_norms(compress::views_of(set, task_.structure.attached, attached), stream_);
    norms.emplace_back(of_set.begin(), of_set.end());
  }
  compress::mask(plan, task_.structure, attached);
  const compress::Size measured = compress::size_of(result.network->graph());
  require(measured == plan.predicted_after, "surgery: the plan predicted {} MACs and {} parameters, the network has {} and {}",
          plan.predicted_after.cost.macs, plan.predicted_after.cost.parameters, measured.cost.macs, measured.cost.parameters);
  const compress::Proof proof = prove(attached, *result.network);
  say("surgery: {:.2f} % of the FLOPs and {} of the parameters are kept (target {})", 100.0 * plan.flops_ratio(),
      share(plan.before.cost.parameters, measured.cost.parameters), plan.target.to_string());
  say("proof: on {} images the masked and the shrunken network differ by at most {:.2e} (logits up to {:.1f}; relative {:.1e}, bound {:.0e})",
      proof.images, proof.largest_difference, proof.largest_logit, proof.relative(), compress::kProofBound);
  require(proof.relative() <= compress::kProofBound,
          "proof failed: masked and shrunken network differ by {:.3e} of the largest logit, at most {:.0e} is allowed",
          proof.relative(), compress::kProofBound);
  result.proof = {{"images", proof.images}, {"largest_difference", proof.largest_difference}, {"largest_logit", proof.largest_logit}, {"relative", proof.relative()}, {"bound", compress::kProofBound}};
  result.plan = compress::plan_to_json(plan);
  std::filesystem::create_directories(result.folder);
  io::write_json(result.folder / "groups.json", group_report(task_.structure, budget, plan, norms, scores, options_.search.minimum_share));
  io::write_json(result.folder / kPlanFile, {{"plan", result.plan}, {"proof", result.proof}});
  write_network(result.folder / kSurgeryFile, *result.network, metadata(result));
}

compress::Proof Compression::prove(Network& masked, Network& shrunken) {
  compress::Proof proof;
  data::Loader loader(set().test, set().normalization, all_indices(set().test), loader_options(set().test, kEvaluationBatch));
  loader.start(0);
  while (proof.images < kProofImages) {
    const auto batch = loader.next();
    if (!batch) break;
    compress::extend_proof(proof, masked, shrunken, batch->images, stream_);
  }
  return proof;
}

void Compression::reload_surgery(Result& result) {
  const nlohmann::json file = io::read_json(result.folder / kPlanFile);
  require(file.is_object() && file.contains("plan") && file.contains("proof"), "{}: 'plan' or 'proof' is missing; was the file changed?", (result.folder / kPlanFile).string());
  result.plan = file["plan"], result.proof = file["proof"];
  const std::string name = (result.folder / kSurgeryFile).string();
  result.network.emplace(network_from(read_model_file(name), std::nullopt, name));
}

Metadata Compression::metadata(const Result& result) const {
  Metadata metadata = normalization_metadata(set().normalization);
  metadata["hinge.plan"] = result.plan.dump();
  metadata["hinge.proof"] = result.proof.dump();
  return metadata;
}

// Fine-tunes, or reads what an earlier process of this run has finished.
void Compression::finetune(Result& result, const std::optional<io::Checkpoint>& checkpoint) {
  const std::filesystem::path tuned = result.folder / kTunedFile;
  const bool underway = checkpoint && checkpoint->state.at("phase") == result.phase;
  result.tuned = true;
  if (std::filesystem::exists(tuned) && !underway) {
    const std::string file = (result.folder / kModelFile).string();
    result.network.emplace(network_from(read_model_file(file), std::nullopt, file));
    const nlohmann::json outcome = io::read_json(tuned);
    if (!outcome.at("held_out_error").is_null()) result.outcome.best_error = outcome.at("held_out_error").get<double>();
    result.outcome.best_epoch = outcome.at("best_epoch").get<int>();
    return;
  }
  Sgd optimizer(options_.finetune.sgd());
  TrainingHooks hooks;
  const OnDevice there(options_.run.chosen_device, {&*result.network, &original_, &teacher()});
  Trainer trainer(setup(result.phase, options_.finetune, true), *result.network, optimizer, hooks, run_);
  result.outcome = trainer.run(checkpoint);
  write_network(result.folder / kModelFile, *result.network, metadata(result));
  const auto& error = result.outcome.best_error;
  io::write_json(tuned, {{"held_out_error", error ? nlohmann::json(*error) : nlohmann::json()}, {"best_epoch", result.outcome.best_epoch}});
}

// What is tried next depends on nothing but errors that tuned.json keeps: a resumed run goes the same way.
void Compression::finetune_within_budget(const std::optional<io::Checkpoint>& checkpoint) {
  const auto error_of = [&](const std::vector<int>& images, const char* label) {
    const OnDevice there(options_.run.chosen_device, {&original_});
    return evaluate(original_, set().train, set().normalization, images, label).top1_error();
  };
  const double before = error_of(data_.split.held_out, "before, held-out images");
  budget_.emplace(static_cast<int>(results_.size()), before, options_.max_error_increase);
  say("budget: held-out error {:.2f} % before, at most {:.2f} % allowed; {} networks to choose from", before, before + budget_->increase(), results_.size());
  std::vector<int> seen = data_.split.train;
  seen.resize(std::min(seen.size(), data_.split.held_out.size()));
  const double error_on_seen = error_of(seen, "before, training images");
  // Two standard errors of the held-out error.
  const double noise = 2.0 * std::sqrt(before * (100.0 - before) / static_cast<double>(data_.split.held_out.size()));
  if (before <= error_on_seen + noise) {
    say("budget: the network does as well on the held-out images ({:.2f} %) as on others of the training set ({:.2f} %); if it was trained on them, "
        "the budget is stricter than it looks",
        before, error_on_seen);
  }
  while (const std::optional<int> network = budget_->next()) {
    Result& result = results_[static_cast<std::size_t>(*network)];
    finetune(result, checkpoint);
    require(result.outcome.best_error.has_value(), "{}: no held-out error", result.phase);
    budget_->record(*network, *result.outcome.best_error);
    say("budget: {}: held-out error {:.2f} %, {:+.2f}: {}", result.target.to_string(), *result.outcome.best_error, *result.outcome.best_error - before,
        budget_->trials().back().within ? "within" : "beyond");
  }
}

// The files of the network that the budget chose go where those of a single target are.
void Compression::take_chosen() {
  const Result& result = results_[static_cast<std::size_t>(*budget_->chosen())];
  for (const char* name : {kPlanFile, "groups.json", kSurgeryFile}) {
    io::write_file_atomically(run_.file(name), io::read_file(result.folder / name));
  }
  write_network(run_.file(kModelFile), *result.network, metadata(result));
}

void Compression::finish() {
  std::vector<Network*> networks_there = {&original_};
  for (Result& result : results_) {
    if (result.tuned) networks_there.push_back(&*result.network);
  }
  const OnDevice there(options_.run.chosen_device, networks_there);
  const Score before = evaluate(original_, set().test, set().normalization, all_indices(set().test), "before");
  nlohmann::json networks = nlohmann::json::array();
  std::size_t main = 0;  // of `networks`: the smallest, or the one that the budget chose, or came closest
  const int wanted = budget_ ? budget_->chosen().value_or(budget_->closest()) : static_cast<int>(results_.size()) - 1;
  for (Result& result : results_) {
    if (!result.tuned) continue;
    if (&result == &results_[static_cast<std::size_t>(wanted)]) main = networks.size();
    networks.push_back(finish_one(result, before));
    if (several()) io::write_json(result.folder / "result.json", networks.back());
  }
  nlohmann::json result = networks[main];
  result.update({{"command", "compress"},
                 {"architecture", original_.graph().architecture},
                 {"method", options_.method},
                 {"mode", compress::name_of(options_.groups().mode)},
                 {"selected_by", data_.split.held_out.empty() ? "last epoch" : "held-out images"},
                 {"search_epochs", options_.method == "hinge" && options_.plan.empty() ? options_.search.epochs : 0},
                 {"finetune_epochs", options_.finetune.epochs}});
  if (several()) result["networks"] = networks;
  if (budget_) {
    std::vector<std::string> names;
    for (const Result& candidate : results_) names.push_back(candidate.target.to_string());
    result["budget"] = to_json(*budget_, names);
    if (budget_->chosen()) take_chosen();
  }
  if (!options_.expected.is_null()) {
    result["recipe"] = options_.recipe, result["expected"] = options_.expected;
    say("the paper's row ({}): {}", options_.recipe, options_.expected.dump());
  }
  finish_run(run_, options_.run, result);
  if (is_first_rank()) report::write_report({run_.path()}, run_.file("report.html"));
}

nlohmann::json Compression::finish_one(Result& result, const Score& before) {
  const std::vector<int> test = all_indices(set().test);
  const Score after = evaluate(*result.network, set().test, set().normalization, test, "after");
  const Cost cost_before = cost_of(original_.graph()), cost_after = cost_of(result.network->graph());
  // Times don't depend on what the pictures show, and a test set may have fewer of them than a call.
  const std::int64_t call = result.target.wants_time() ? options_.latency_batch : std::min<std::int64_t>(kTimedBatch, set().test.count());
  const FeatureShape& in = original_.graph().input;
  if (!is_first_rank()) return {};  // what is timed has the machine for itself
  const std::vector<double> ms = milliseconds_per_image({&original_, &*result.network}, Tensor::full({call, in.h, in.w, in.c}, 0.5f));
  const auto error = [](const Score& score) { return fmt::format("{:.2f} %", score.top1_error()); };
  say_table({{result.target.to_string(), "before", "after", "kept"},
             {"top-1 error", error(before), error(after), ""},
             {"MACs", fmt::format("{}", cost_before.macs), fmt::format("{}", cost_after.macs), share(cost_before.macs, cost_after.macs)},
             {"parameters", fmt::format("{}", cost_before.parameters), fmt::format("{}", cost_after.parameters), share(cost_before.parameters, cost_after.parameters)},
             {fmt::format("ms per image (batch {})", call), fmt::format("{:.4f}", ms[0]), fmt::format("{:.4f}", ms[1]),
              fmt::format("{:.1f} %", 100.0 * ms[1] / ms[0])}});
  const auto side = [](const Score& score, const Cost& cost, double milliseconds) {
    nlohmann::json json = score_to_json(score);
    json.update(cost_to_json(cost));
    json["milliseconds_per_image"] = milliseconds;
    return json;
  };
  const auto ratio = [](std::int64_t a, std::int64_t b) { return static_cast<double>(a) / static_cast<double>(b); };
  return {{"target", result.target.to_string()},
          {"folder", result.folder.lexically_proximate(run_.path()).string()},
          {"before", side(before, cost_before, ms[0])},
          {"after", side(after, cost_after, ms[1])},
          {"timed_batch", call},
          {"layer_times", to_json(layer_timings(original_, *result.network, call))},
          {"flops_ratio", ratio(cost_after.macs, cost_before.macs)},
          {"operations_ratio", ratio(cost_after.operations, cost_before.operations)},
          {"parameters_ratio", ratio(cost_after.parameters, cost_before.parameters)},
          {"plan", result.plan},
          {"proof", result.proof},
          {"held_out_error", result.outcome.best_error ? nlohmann::json(*result.outcome.best_error) : nlohmann::json()},
          {"best_epoch", result.outcome.best_epoch}};
}

}  // namespace hinge::cli
