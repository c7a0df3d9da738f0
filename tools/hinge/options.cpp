#include "tools/hinge/options.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "engine/io/json.h"
#include "engine/parallel/mpi_group.h"
#include "engine/train/diagnosis.h"
#include "models/state_dict.h"
#include "tools/hinge/console.h"
#include "tools/hinge/counting.h"
#include "tools/hinge/group.h"
#include "tools/hinge/user_cache.h"

namespace hinge::cli {
namespace {

constexpr const char* kNormalizationKey = "hinge.normalization";

// Which model a file is of that doesn't hold its graph: --model, or the file's own entry.
Network network_of(const WeightsOptions& options, const ModelFile& file) {
  const auto entry = [&](const char* key) {
    const auto found = file.metadata.find(key);
    return found == file.metadata.end() ? std::string() : found->second;
  };
  const std::string model = options.model.empty() ? entry("architecture") : options.model;
  if (model.empty()) {
    std::vector<std::string> fitting = models::models_that_fit(file);
    const char* how = "it fits";
    if (fitting.empty()) fitting = models::models_of_same_shapes(file), how = "its names are none we know; by shapes it fits";
    fail_usage("{}: the file doesn't describe its network; say which it is with --model (and --shortcut){}", options.weights,
               fitting.empty() ? std::string("; it fits none of the known ones")
                               : fmt::format("; {} {}", how, fmt::join(fitting, " or ")));
  }
  models::ModelOptions build = options.model_options();
  if (build.shortcut.empty()) build.shortcut = entry("shortcut");
  return models::network_from_state_dict(file, model, build, options.weights);
}

std::optional<data::Normalization> normalization_of(const ModelFile& file, const std::string& name) {
  const auto found = file.metadata.find(kNormalizationKey);
  if (found == file.metadata.end()) return std::nullopt;
  const nlohmann::json json = io::parse_json(found->second, name + ": metadata " + kNormalizationKey);
  try {
    return data::Normalization{json.at("mean").get<std::vector<float>>(), json.at("std").get<std::vector<float>>()};
  } catch (const nlohmann::json::exception& error) {
    fail("{}: metadata {}: {}", name, kNormalizationKey, error.what());
  }
}

}  // namespace

void DataOptions::declare(Flags& flags, bool training) {
  flags.group("Data");
  flags.option("--data", data, "Data set: cifar10, cifar100, fashion-mnist, or folder (train/CLASS and test/CLASS or val/CLASS with .jpg and .png)");
  flags.option("--data-dir", data_dir, "Folder of the data set (fashion-mnist: Debian's, if not given)");
  flags.option("--mean", mean, "Mean per channel of pixels in [0, 1], e.g. 0.485,0.456,0.406 (default: the file's or the set's)")->delimiter(',');
  flags.option("--std", std, "Standard deviation per channel, e.g. 0.229,0.224,0.225")->delimiter(',');
  flags.option("--image-size", image_size, "--data folder: height and width of what the network sees")->check(CLI::Range(1, 16384));
  flags.option("--resize", resize, "--data folder: the shorter side before the centre crop (0: 8/7 of --image-size)")->check(CLI::Range(0, 16384));
  flags.option("--broken-images", broken_images, "--data folder: skip (with a warning each) or fail")->check(CLI::IsMember({"skip", "fail"}));
  flags.flag("--no-cache", no_cache, "--data folder: look at every picture before the start, not only at those that are new or changed since they were last looked at");
  flags.option("--loader-threads", loader_threads, "Threads that prepare batches (0: one; all of the processor's where pictures are decoded)")->check(CLI::Range(0, 64));
  if (!training) return;
  flags.option("--crop-area", crop_area, "--data folder: least share of a picture in a random crop")->check(CLI::Range(0.0, 1.0));
  flags.option("--held-out", held_out, "Training images held out to choose by; the test set is read once, at the end")->check(CLI::NonNegativeNumber);
  flags.option("--train-images", train_images, "Train on the first N images only (0: all)")->check(CLI::NonNegativeNumber);
}

void WeightsOptions::declare(Flags& flags) {
  flags.group("Network");
  flags.option("--weights", weights, "safetensors file with PyTorch's names");
  flags.option("--model", model, "Network, where the file doesn't describe itself, e.g. resnet20; 'hinge info --help' lists them");
  flags.option("--shortcut", shortcut, "A-pool, A-stride or C, for the CIFAR ResNets");
  flags.option("--dropout", dropout, "Dropout rate of a network built by name (below 0: its own), for Wide ResNet and MobileNetV2");
}

models::ModelOptions WeightsOptions::model_options() const {
  models::ModelOptions result{.shortcut = shortcut};
  if (dropout >= 0.0) result.dropout = static_cast<float>(dropout);
  return result;
}

void TrainingOptions::declare(Flags& flags) {
  flags.option("--epochs", epochs, "Passes over the training images")->check(CLI::Range(1, 100000));
  flags.option("--batch", batch, "Images per step, of all ranks together")->check(CLI::Range(1, 65536));
  flags.option("--accumulate", accumulate, "Work through a step's images in this many pieces, one after another, and add their gradients up: the memory of a piece. BatchNorm's statistics are then a piece's")->check(CLI::Range(1, 65536));
  flags.option("--lr", lr, "Learning rate at its highest")->check(CLI::PositiveNumber);
  flags.option("--schedule", schedule, "cosine, step or constant");
  flags.option("--milestones", milestones, "Epochs at which the step schedule divides the rate by 10 (default: half and three quarters)")->delimiter(',');
  flags.option("--warmup", warmup, "Epochs over which the rate grows from 0")->check(CLI::NonNegativeNumber);
  flags.option("--momentum", momentum, "")->check(CLI::Range(0.0, 0.9999));
  flags.option("--weight-decay", weight_decay, "")->check(CLI::NonNegativeNumber);
  flags.flag("--nesterov", nesterov, "Nesterov's form of momentum");
  flags.flag("--decoupled-decay", decoupled_decay, "Weight decay apart from the gradient");
  flags.flag("--no-norm-decay", no_norm_decay, "No weight decay on BatchNorm and biases");
  flags.option("--label-smoothing", label_smoothing, "")->check(CLI::Range(0.0, 0.99));
  flags.option("--ema", ema, "Take the exponential moving average of the weights, with this decay per step, e.g. 0.999 (0: the weights themselves)")->check(CLI::Range(0.0, 0.999999));
  flags.flag("--no-augment", no_augment, "No random crop and flip");
  flags.option("--reduction", reduction, "With several ranks (mpirun): gradients are added up in fp32, or rounded to bf16, which is half the bytes")->check(CLI::IsMember({"fp32", "bf16"}));
  flags.flag("--sync-batch-norm", sync_batch_norm, "With several ranks (mpirun): BatchNorm's statistics are those of the whole batch, not of a rank's part");
}

Schedule TrainingOptions::make_schedule() const {
  Schedule result{.kind = schedule_kind_of(schedule),
                  .rate = lr,
                  .warmup_epochs = warmup,
                  .epochs = static_cast<double>(epochs),
                  .milestones = milestones};
  if (result.milestones.empty()) result.milestones = {0.5 * epochs, 0.75 * epochs};
  return result;
}

SgdConfig TrainingOptions::sgd() const {
  return {.momentum = static_cast<float>(momentum),
          .decay = static_cast<float>(weight_decay),
          .decoupled = decoupled_decay,
          .nesterov = nesterov,
          .decay_norms_and_biases = !no_norm_decay};
}

void DistillationOptions::declare(Flags& flags) {
  flags.option("--distill", weight, "Share of the uncompressed network's opinion in the loss (0: none)")->check(CLI::Range(0.0, 1.0));
  flags.option("--temperature", temperature, "Temperature of that share")->check(CLI::PositiveNumber);
}

void RunOptions::declare(CLI::App& app, Flags& flags) {
  device.declare(flags, DeviceUse::kTraining);
  flags.group("Run");
  flags.option("--out", out, "Run folder to create");
  app.add_option("--resume", resume, "Continue the run in this folder; every other option comes from its config.json");
  app.add_option("--config", config, "Options from this JSON file, such as a run's config.json; flags given beside it win");
  flags.option("--seed", seed, "Of order, augmentation and initial weights");
  flags.option("--checkpoint-every", checkpoint_every, "Steps between checkpoints (one is written at each epoch's end too)")->check(CLI::Range(1, 1000000000));
  flags.option("--on-nan", on_nan, "Where a number isn't finite any more: stop, or rollback (go on from the last checkpoint with half the rate, three times a phase at most)")->check(CLI::IsMember({"stop", "rollback"}));
  flags.option("--threads", threads, "Threads to compute with (0: all)")->check(CLI::Range(0, 1024));
  flags.option("--rank-timeout", rank_timeout, "With several ranks (mpirun): seconds after which one that doesn't come ends the job by its name")->check(CLI::PositiveNumber);
  flags.option("--conv-choices", conv_choices, "conv_choices.json of a run whose bytes this one must repeat");
  flags.option("--json", json, "Write the result as JSON to a file, or to standard output with -");
  flags.flag("--tensorboard", tensorboard, "Write every epoch's numbers for TensorBoard too ('tensorboard --logdir RUN')");
}

LoadedData load_data(const DataOptions& options, const std::optional<data::Normalization>& of_file, bool test_only) {
  if (options.data.empty()) fail_usage("--data is missing: which data set? (known: {})", fmt::join(data::dataset_names(), ", "));
  if (options.mean.empty() != options.std.empty()) fail_usage("--mean and --std go together");
  const int threads = options.loader_threads > 0 ? options.loader_threads : options.data == "folder" ? std::clamp(omp_get_num_procs(), 1, 64)
                                                                                                     : 1;
  data::FolderOptions folder{.size = options.image_size,
                             .resize = options.resize,
                             .crop_area = options.crop_area,
                             .skip_broken = options.broken_images == "skip",
                             .test_only = test_only,
                             .measure = options.mean.empty() && !of_file,
                             .threads = threads,
                             .cache = options.no_cache ? std::filesystem::path() : user_cache(),
                             .write_cache = is_first_rank()};
  // One rank that stopped alone would be waited for by the others.
  if (process_group() == nullptr) folder.looked = counting("looking at pictures", "interrupted while the pictures were looked at");
  LoadedData result{data::load_dataset(options.data, options.data_dir, folder), {}};
  data::Dataset& set = result.dataset;
  for (const std::string& warning : set.warnings) say("warning: {}", warning);
  set.train.loader_threads = set.test.loader_threads = threads;
  if (!options.mean.empty()) {
    set.normalization = {options.mean, options.std};
  } else if (of_file) {
    set.normalization = *of_file;
  }
  const auto channels = static_cast<std::size_t>(set.train.channels);
  if (set.normalization.mean.size() != channels || set.normalization.std.size() != channels) {
    fail_usage("--mean and --std have {} and {} values, {} images have {} channels", set.normalization.mean.size(),
               set.normalization.std.size(), options.data, channels);
  }
  for (float deviation : set.normalization.std) {
    if (!(deviation > 0.0f) || !std::isfinite(deviation)) fail_usage("--std holds {}, expected values above 0", deviation);
  }
  for (float mean : set.normalization.mean) {
    if (!std::isfinite(mean)) fail_usage("--mean holds {}, expected numbers", mean);
  }
  result.split = data::hold_out(set.train, options.held_out);
  if (options.train_images > 0 && static_cast<std::size_t>(options.train_images) < result.split.train.size()) {
    result.split.train.resize(static_cast<std::size_t>(options.train_images));
  }
  return result;
}

LoadedModel load_model(const WeightsOptions& options) {
  if (options.weights.empty()) fail_usage("--weights is missing: which network?");
  const ModelFile file = read_model_file(options.weights);
  LoadedModel model = {.network = file.graph ? network_from(file, {}, options.weights) : network_of(options, file),
                       .normalization = normalization_of(file, options.weights),
                       .picture_known = file.graph.has_value()};
  try {
    require_finite(model.network);
  } catch (const NotFiniteError& error) {
    fail("{}: {}", options.weights, error.what());
  }
  return model;
}

Network random_network(const WeightsOptions& options, const FeatureShape& input) {
  if (options.model.empty()) fail_usage("--weights or --model is missing: which network?");
  models::ModelOptions build = options.model_options();
  build.input = input;
  Network network(models::build(options.model, build));
  initialise(network, 0);
  return network;
}

Metadata normalization_metadata(const data::Normalization& normalization) {
  return {{kNormalizationKey, nlohmann::json{{"mean", normalization.mean}, {"std", normalization.std}}.dump()}};
}

void check_fit(const Network& network, const data::Dataset& dataset) {
  const FeatureShape& input = network.graph().input;
  if (input != FeatureShape{dataset.train.height, dataset.train.width, dataset.train.channels}) {
    fail_usage("the network takes {}x{}x{} pictures, {} has {}x{}x{}{}", input.h, input.w, input.c, dataset.name,
               dataset.train.height, dataset.train.width, dataset.train.channels,
               dataset.train.source && input.h == input.w ? fmt::format(" (--image-size {} would fit)", input.h) : "");
  }
  const FeatureShape output = infer_shapes(network.graph()).at(static_cast<std::size_t>(network.graph().output));
  if (output.size() != dataset.classes) {
    fail_usage("the network tells {} classes apart, {} has {}", output.size(), dataset.name, dataset.classes);
  }
}

void check_fit(LoadedModel& model, const data::Dataset& dataset) {
  const FeatureShape& input = model.network.graph().input;
  const data::ImageSet& images = dataset.train;
  if (!model.picture_known && (input.h != images.height || input.w != images.width)) {
    try {
      model.network = for_pictures(model.network, images.height, images.width);
    } catch (const Error& error) {
      fail_usage("{} can't take the {}x{} pictures of {}: {}", model.network.graph().architecture, images.height,
                 images.width, dataset.name, error.what());
    }
  }
  check_fit(std::as_const(model.network), dataset);
}

Network for_pictures(const Network& network, std::int64_t height, std::int64_t width) {
  Graph graph = network.graph();
  graph.input.h = height;
  graph.input.w = width;
  Network result(std::move(graph));
  result.set_values(network.values());
  return result;
}

FeatureShape parse_picture(const std::string& flag, const std::string& text) {
  constexpr std::int64_t kMost = 65536;  // so that the product can be counted
  std::vector<std::int64_t> extents;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, 'x');) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || end != part.data() + part.size() || value < 1 || value > kMost) extents.clear(), in.setstate(std::ios::failbit);
    extents.push_back(value);
  }
  if (extents.size() == 2) extents.push_back(3);
  if (extents.size() != 3 || text.ends_with('x')) fail_usage("{} is '{}', expected HEIGHTxWIDTHxCHANNELS, e.g. 224x224x3, each up to {}", flag, text, kMost);
  return {extents[0], extents[1], extents[2]};
}

void set_threads(int threads) {
  if (threads > 0) return omp_set_num_threads(threads);
  // Ranks of one machine that nobody has bound to processors of their own share them.
  const int here = local_ranks(), processors = omp_get_num_procs();
  if (process_group() != nullptr && std::getenv("OMP_NUM_THREADS") == nullptr && processors == static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN))) omp_set_num_threads(std::max(1, processors / here));
}

}  // namespace hinge::cli
