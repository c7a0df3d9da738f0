// Groups of options that several commands share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/loader.h"
#include "engine/nn/model_file.h"
#include "engine/ops/loss.h"
#include "engine/optim/schedule.h"
#include "engine/optim/sgd.h"
#include "models/registry.h"
#include "tools/hinge/device_option.h"
#include "tools/hinge/flags.h"

namespace hinge::cli {

struct DataOptions {
  std::string data, data_dir;
  std::vector<float> mean, std;
  int held_out = 5000;
  int train_images = 0;
  int loader_threads = 0;  // 0: one; as many as the processor has where pictures are decoded
  int image_size = 224, resize = 0;
  double crop_area = 0.08;
  std::string broken_images = "fail";
  bool no_cache = false;

  void declare(Flags& flags, bool training);
};

struct WeightsOptions {
  std::string weights, model, shortcut;
  double dropout = -1.0;  // below 0: the model's own
  void declare(Flags& flags);
  // For models::build; picture and classes are left open.
  models::ModelOptions model_options() const;
};

struct TrainingOptions {
  int epochs = 1, batch = 128;
  std::string reduction = "fp32";
  int accumulate = 1;  // pieces that a rank's images of a step are worked through in
  double lr = 0.1, warmup = 0.0;
  std::string schedule = "cosine";
  std::vector<double> milestones;
  double momentum = 0.9, weight_decay = 1e-4;
  bool nesterov = false, decoupled_decay = false, no_norm_decay = false, no_augment = false, sync_batch_norm = false;
  double label_smoothing = 0.0;
  double ema = 0.0;  // decay of the weights' average; 0: none

  void declare(Flags& flags);
  Schedule make_schedule() const;
  SgdConfig sgd() const;
};

struct DistillationOptions {
  double weight = 0.4, temperature = 4.0;
  void declare(Flags& flags);
};

struct RunOptions {
  std::string out, resume, config, conv_choices, json, on_nan = "stop";
  std::uint64_t seed = 0;
  int checkpoint_every = 200;
  int threads = 0;
  bool tensorboard = false;
  double rank_timeout = 600.0;  // seconds that a rank waits for another
  DeviceOptions device;
  Device chosen_device;  // set by start_run

  // `resume` and `config` are bound to the command line alone, everything else to config.json too.
  void declare(CLI::App& app, Flags& flags);
};

// The data with the normalisation that applies: --mean/--std, else the model file's, else the set's own.
struct LoadedData {
  data::Dataset dataset;
  data::Split split;
};
LoadedData load_data(const DataOptions& options, const std::optional<data::Normalization>& of_file, bool test_only = false);

// Reads --weights; the graph comes from the file, from --model, or from the file's "architecture" entry.
struct LoadedModel {
  Network network;
  std::optional<data::Normalization> normalization;  // stored by us in the file
  bool picture_known = true;                         // the file says how large its pictures are; a state dict of PyTorch doesn't
};
LoadedModel load_model(const WeightsOptions& options);
// --model with random weights, for pictures of `input` (all zero: the model's own): what times are measured on.
Network random_network(const WeightsOptions& options, const FeatureShape& input = {});
Metadata normalization_metadata(const data::Normalization& normalization);

// Throws UsageError unless `set` and the network agree on picture and classes.
void check_fit(const Network& network, const data::Dataset& dataset);
// The same, and where the file leaves the picture's size open the network is laid out for the data's.
void check_fit(LoadedModel& model, const data::Dataset& dataset);
// The same weights for pictures of another size. Throws Error where the graph depends on the size.
Network for_pictures(const Network& network, std::int64_t height, std::int64_t width);

// "224x224x3" or "64x64" (then of 3 channels). Throws UsageError that names `flag`.
FeatureShape parse_picture(const std::string& flag, const std::string& text);

void set_threads(int threads);

}  // namespace hinge::cli
