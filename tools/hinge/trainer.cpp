#include "tools/hinge/trainer.h"

#include <chrono>
#include <cmath>

#include "engine/train/agreement.h"
#include "engine/train/batch_memory.h"
#include "engine/train/diagnosis.h"
#include "tools/hinge/console.h"
#include "tools/hinge/group.h"
#include "tools/hinge/interrupt.h"

namespace hinge::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMostRollbacks = 3;  // of a phase: an eighth of the rate; what still diverges needs somebody who looks at it

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

data::LoaderOptions training_loader(const TrainerSetup& setup, const data::Dataset& dataset, Device device) {
  const bool digits = dataset.name == "fashion-mnist";
  data::LoaderOptions options = loader_options(dataset.train, setup.options.batch);
  options.shuffle = true;
  options.augment = !setup.options.no_augment;
  options.augmentation = {.padding = digits ? 2 : 4, .flip = true, .seed = setup.seed};
  // A last, smaller batch would be a shape of its own and, of one image, break BatchNorm.
  options.drop_last = static_cast<int>(setup.split->train.size()) >= setup.options.batch;
  options.pixels = !DeviceImages::serves(dataset.train, device);
  if (const ProcessGroup* group = process_group()) options.part = group->rank(), options.parts = group->size();
  return options;
}

void put(std::map<std::string, Tensor>& to, const std::string& prefix, const std::map<std::string, Tensor>& from) {
  for (const auto& [name, tensor] : from) to.emplace(prefix + name, tensor.to(Device{}));
}

std::map<std::string, Tensor> take(const std::map<std::string, Tensor>& from, const std::string& prefix) {
  std::map<std::string, Tensor> result;
  for (const auto& [name, tensor] : from) {
    if (name.starts_with(prefix)) result.emplace(name.substr(prefix.size()), tensor);
  }
  return result;
}

}  // namespace

Trainer::Trainer(const TrainerSetup& setup, Network& network, Optimizer& optimizer, TrainingHooks& hooks,
                 RunFolder& run)
    : setup_(setup), network_(network), optimizer_(optimizer), hooks_(hooks), run_(run), schedule_(setup.options.make_schedule()), loader_(setup.dataset->train, setup.dataset->normalization, setup.split->train, training_loader(setup, *setup.dataset, network.device())), stream_(stream_of(network.device())), classes_(setup.dataset->classes) {
  if (setup.options.ema > 0.0) average_.emplace(setup.options.ema, network.values());
  require(loader_.batches() > 0, "{}: no training images are left after holding out {}", setup.phase, setup.split->held_out.size());
  const int least = std::min(loader_.images(), setup.options.batch);
  if (least < rank_count()) fail_usage("{}: a batch has {} images and there are {} ranks; every rank needs one", setup.phase, least, rank_count());
  const int pieces = setup.options.accumulate;
  if (least / rank_count() < pieces) fail_usage("{}: --accumulate {} of the {} images that {} of a batch of {}; every piece needs one", setup.phase, pieces, least / rank_count(), rank_count() == 1 ? "are all" : "a rank has", least);
}

void Trainer::restore(const io::Checkpoint& checkpoint) {
  const nlohmann::json& state = checkpoint.state;
  epoch_ = state.at("epoch").get<int>();
  batch_ = state.at("batch").get<int>();
  sums_ = {state.at("loss_sum").get<double>(), state.at("images").get<std::int64_t>(), state.at("top1").get<std::int64_t>()};
  if (!state.at("best_error").is_null()) best_error_ = state.at("best_error").get<double>();
  best_epoch_ = state.at("best_epoch").get<int>();
  network_.set_values(take(checkpoint.tensors, "value/"));
  optimizer_.restore(take(checkpoint.tensors, "optimizer/"));
  best_values_ = take(checkpoint.tensors, "best/");
  if (average_) average_->restore(take(checkpoint.tensors, "average/"));
  hooks_.restore(checkpoint);
  run_.rewind_metrics(state.at("metric_bytes").get<std::uint64_t>());
}

void Trainer::save() const {
  io::Checkpoint checkpoint;
  checkpoint.state = {{"phase", setup_.phase},
                      {"epoch", epoch_},
                      {"batch", batch_},
                      {"loss_sum", sums_.loss_sum},
                      {"images", sums_.images},
                      {"top1", sums_.top1},
                      {"best_error", best_error_ ? nlohmann::json(*best_error_) : nlohmann::json()},
                      {"best_epoch", best_epoch_},
                      {"metric_bytes", run_.metric_bytes()},
                      {"data", setup_.dataset->fingerprint}};
  put(checkpoint.tensors, "value/", network_.values());
  put(checkpoint.tensors, "optimizer/", optimizer_.state());
  put(checkpoint.tensors, "best/", best_values_);
  if (average_) put(checkpoint.tensors, "average/", average_->values());
  hooks_.save(checkpoint);
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (name.starts_with("value/")) require_finite(tensor, name.ends_with(".weight") || name.ends_with(".bias") ? "weight" : "running statistic", name.substr(6));
    if (name.starts_with("average/")) require_finite(tensor, "average", name.substr(8));
    if (name.starts_with("optimizer/")) require_finite(tensor, "the optimiser's state", name.substr(10));
  }
  run_.save(checkpoint);
}

double Trainer::rate_factor() const { return std::pow(0.5, run_.rollbacks_in(setup_.phase)); }

std::string Trainer::hint(const NotFinite& found) const {
  if (found.what == "image") return "look at --mean and --std";
  std::string text = setup_.phase == "search" ? "a lower --search-lr, or a weaker penalty (--lambda), may help" : "a lower --lr, or --warmup, may help";
  if (device_description().ends_with("tf32") || device_description().ends_with("bf16")) text += "; so may --precision fp32";
  return text;
}

void Trainer::recover(const NotFiniteError& error) {
  const bool between = batch_ == 0 && sums_.images == 0 && epoch_ > 0;  // of epochs: what would have been saved
  const std::string place = between ? fmt::format("after epoch {}", epoch_) : fmt::format("epoch {}, step {}", epoch_ + 1, std::min<std::int64_t>(batch_ + 1, loader_.batches()));
  const std::string where = fmt::format("{}, {}: {}", setup_.phase, place, error.what());
  const std::int64_t failed = global_step_;
  const bool in_graph = step_ && step_->updated_in_graph();
  const int before = run_.rollbacks_in(setup_.phase);
  if (!in_graph && (!setup_.roll_back || before >= kMostRollbacks)) {
    fail("{}; the last good checkpoint is in {} ({}{})", where, run_.path().string(), hint(error.found),
         before > 0 ? fmt::format("; rolled back {} times, the rate was {:.3g} of what was asked for", before, rate_factor())
                    : "; --resume with --on-nan rollback goes on from there with half the rate");
  }
  const nlohmann::json event = {{"phase", setup_.phase}, {"where", place}, {"found", error.found.to_string()}, {"rate_factor", 0.5 * rate_factor()}};
  const std::optional<io::Checkpoint> good = run_.load();
  require(good && good->state.at("phase") == setup_.phase, "{}; {} has no checkpoint of this phase to go back to", where, run_.path().string());
  step_.reset();
  best_error_.reset();
  restore(*good);
  if (in_graph) {
    looked_at_ = failed;
    say("{}; repeating steps from epoch {}, step {} without graphs to see where it began", where, epoch_ + 1, batch_ + 1);
    return;
  }
  run_.rolled_back(event);
  save();  // who resumes goes on with the lower rate
  say("{}; rolled back to epoch {}, step {}, the rate is now {:.3g} of what was asked for", where, epoch_ + 1, batch_ + 1, rate_factor());
}

void Trainer::step(const data::Batch& batch, std::int64_t global_step) {
  const Tensor labels = labels_tensor(batch.labels);
  check_labels(labels, classes_);
  if (step_ && global_step == looked_at_ + 1) step_.reset();  // graphs again
  if (!step_) {
    TrainingStep::Look look;
    if (hooks_.looks_at_gradients()) {
      look = [this](std::span<Parameter* const> parameters, std::span<const Tensor> gradients) {
        hooks_.before_update(global_step_, parameters, gradients);
      };
    }
    step_ = std::make_unique<TrainingStep>(network_, optimizer_, StepOptions{.loss = setup_.loss, .seed = setup_.seed, .teacher = setup_.teacher, .graph = !setup_.eager && global_step > looked_at_, .group = process_group(), .synchronize_batch_norm = setup_.options.sync_batch_norm, .activations = setup_.activations, .sum_precision = setup_.options.reduction == "bf16" ? SumPrecision::kBfloat16 : SumPrecision::kFloat32, .pieces = setup_.options.accumulate}, look, stream_);
    if (process_group() != nullptr && !stream_.device().is_cpu() && !told_how_) say("steps: {}", step_->how());
    told_how_ = true;
  }
  global_step_ = global_step;
  const double progress = static_cast<double>(global_step) / static_cast<double>(loader_.batches());
  try {
    const data::LoaderOptions options = training_loader(setup_, *setup_.dataset, stream_.device());
    if (!device_images_ && !options.pixels) device_images_ = std::make_unique<DeviceImages>(setup_.dataset->train, setup_.dataset->normalization, stream_);
    const Tensor images = device_images_ ? device_images_->batch(batch.indices, options.augment, options.augmentation, static_cast<std::uint64_t>(epoch_)) : batch.images;
    step_->run(images, labels, static_cast<float>(schedule_.at(progress) * rate_factor()), static_cast<std::uint64_t>(global_step), {batch.first, batch.first + static_cast<std::int64_t>(labels.size())}, batch.images_in_all);
  } catch (const OutOfMemory& error) {
    step_.reset();
    fail("{}", with_advice(error, network_, {.images = static_cast<int>(labels.size()), .pieces = setup_.options.accumulate, .ranks = rank_count(), .activations = setup_.activations}));
  }
  const StepOutcome outcome = step_->outcome();
  sums_.loss_sum += outcome.loss * static_cast<double>(outcome.images);
  sums_.images += outcome.images;
  sums_.top1 += outcome.top1;
}

Score Trainer::score_held_out() {
  std::map<std::string, Tensor> trained;
  if (average_) {
    for (const auto& [name, tensor] : network_.values()) trained.emplace(name, tensor.clone());
    network_.set_values(average_->values());
  }
  const Score score = evaluate(network_, setup_.dataset->train, setup_.dataset->normalization, setup_.split->held_out, "held-out images");
  if (!best_error_ || score.top1_error() < *best_error_) {
    best_error_ = score.top1_error();
    best_epoch_ = epoch_ + 1;
    if (setup_.keep_best) {
      best_values_.clear();
      for (const auto& [name, tensor] : network_.values()) best_values_.emplace(name, tensor.copy_on(Device{}));
    }
  }
  if (average_) network_.set_values(trained);
  return score;
}

void Trainer::end_epoch(double seconds) {
  const double images = static_cast<double>(sums_.images);
  const double train_loss = sums_.loss_sum / images;
  const double train_error = 100.0 * (1.0 - static_cast<double>(sums_.top1) / images);
  nlohmann::json line = {{"phase", setup_.phase},
                         {"epoch", epoch_ + 1},
                         {"rate", schedule_.at(epoch_ + 1) * rate_factor()},
                         {"train_loss", train_loss},
                         {"train_error", train_error},
                         {"seconds", seconds}};
  std::string held_out_text;
  if (!setup_.split->held_out.empty()) {
    const Score held_out = score_held_out();
    line["held_out"] = score_to_json(held_out);
    held_out_text = fmt::format("  held-out error {:.2f} %", held_out.top1_error());
  }
  line.update(hooks_.metrics());
  if (const int rollbacks = run_.rollbacks_in(setup_.phase); rollbacks > 0) line["rollbacks"] = rollbacks;
  run_.metric(line);
  say("{} epoch {}/{}  loss {:.4f}  train error {:.2f} %{}  {}  {}", setup_.phase, epoch_ + 1, setup_.options.epochs,
      train_loss, train_error, held_out_text, duration_text(seconds), hooks_.note());
}

TrainingOutcome Trainer::run(const std::optional<io::Checkpoint>& checkpoint) {
  const bool resumed = checkpoint && checkpoint->state.at("phase") == setup_.phase;
  if (resumed) {
    restore(*checkpoint);
    say("{}: resumed at epoch {}, step {}", setup_.phase, epoch_ + 1, batch_ + 1);
  } else {
    save();  // from here on this phase is the one to resume
  }
  const auto start = Clock::now();
  std::int64_t images_here = 0;
  bool stop = false;
  const std::int64_t steps = static_cast<std::int64_t>(setup_.options.epochs) * loader_.batches();
  const auto one_epoch = [&] {
    const auto epoch_start = Clock::now();
    Progress progress(fmt::format("{} {}/{}", setup_.phase, epoch_ + 1, setup_.options.epochs), loader_.images(),
                      static_cast<std::int64_t>(batch_) * setup_.options.batch);
    loader_.start(static_cast<std::uint64_t>(epoch_), batch_);
    while (!stop) {
      const std::optional<data::Batch> batch = loader_.next();
      if (!batch) break;
      const std::int64_t global_step = static_cast<std::int64_t>(epoch_) * loader_.batches() + batch_;
      step(*batch, global_step);
      if (average_) average_->after_step(global_step + 1, network_.values(), stream_);
      stop = hooks_.after_update(global_step + 1, steps);
      ++batch_;
      images_here += batch->images_in_all;
      run_.record_choices();
      progress.update(sums_.images, fmt::format("loss {:.3f}  {}", sums_.loss_sum / static_cast<double>(sums_.images), hooks_.note()));
      const bool epoch_ends = batch_ == loader_.batches();
      if (any_rank(interrupt_requested()) && !stop && !epoch_ends) {
        save();
        throw Interrupted(fmt::format("stopped at epoch {}, step {}; everything is saved", epoch_ + 1, batch_));
      }
      if (!stop && !epoch_ends && batch_ % setup_.checkpoint_every == 0) save();
    }
    progress.finish();
    end_epoch(seconds_since(epoch_start));
    ++epoch_;
    batch_ = 0;
    sums_ = {};
    require_same(process_group(), network_.values(), fmt::format("{}, epoch {}", setup_.phase, epoch_));
    if (!stop) save();
    if (any_rank(interrupt_requested())) {
      throw Interrupted(fmt::format("stopped after epoch {}; everything is saved", epoch_));
    }
  };
  while (epoch_ < setup_.options.epochs && !stop) {
    try {
      one_epoch();
    } catch (const NotFiniteError& error) {
      recover(error);
    }
  }
  if (setup_.keep_best && !best_values_.empty()) {
    network_.set_values(best_values_);
  } else if (average_) {
    network_.set_values(average_->values());  // nothing was held out to choose by
  }
  const double seconds = seconds_since(start);
  return {.epochs = epoch_,
          .seconds = seconds,
          .images_per_second = static_cast<double>(images_here) / std::max(seconds, 1e-9),
          .best_error = best_error_,
          .best_epoch = best_epoch_};
}

}  // namespace hinge::cli
