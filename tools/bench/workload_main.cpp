// hinge-workload: one of three pieces of work, on weights from a file, timed; tools/compare_pytorch.py has PyTorch do the same.
//
//   hinge-workload prox --weights W --step T --out OUT     the proximal step of the group lasso on every convolution's filters
//   hinge-workload step --weights W --batch B              training steps on one batch (tensors images [N,H,W,C], labels [N])
//   hinge-workload search --weights W --batch B --mode M   the same with matrices attached, the penalty and its control (search_work.h)
//
// Prints one line of JSON: what was computed (the first losses; OUT holds the weights behind one step), so that the other
// side can be compared with it, and the seconds of one step: the median of rounds, each of many steps queued without a look at
// any result.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "compress/prox_sets.h"
#include "compress/proximal.h"
#include "engine/core/accelerator.h"
#include "engine/io/json.h"
#include "engine/io/safetensors.h"
#include "engine/optim/sgd.h"
#include "engine/train/training_step.h"
#include "kernels/philox.h"
#include "tools/bench/rounds.h"
#include "tools/bench/run_main.h"
#include "tools/bench/search_work.h"
#include "tools/hinge/console.h"
#include "tools/hinge/options.h"

namespace hinge {
namespace {

struct Options {
  cli::WeightsOptions weights;
  cli::DeviceOptions device;
  std::string batch, out, mode = "auto";
  std::int64_t images = 128;
  double step = 0.1, rate = 1e-3, seconds = 1.0;
};

std::vector<std::vector<kernels::GroupView>> filters_of(Network& network) {
  std::vector<std::vector<kernels::GroupView>> sets;
  for (Parameter* parameter : network.parameters()) {
    if (parameter->kind != ParameterKind::kConvWeight) continue;
    const std::int64_t k = parameter->value.dim(0), size = parameter->value.size() / k;
    sets.push_back({{parameter->value.mutable_data(), k, size, size, 1}});
  }
  return sets;
}

nlohmann::json prox(const Options& options, Network& network, const Stream& stream) {
  const auto regularizer = compress::make_regularizer("l1");
  const auto sets = filters_of(network);
  const std::vector<double> ones(sets.size(), 1.0);
  std::unique_ptr<CapturedGraph> graph;
  std::unique_ptr<compress::FusedProx> fused;
  if (!stream.device().is_cpu()) fused = std::make_unique<compress::FusedProx>(sets, std::vector<int>(sets.size(), 0), stream);
  const auto once = [&](double step) {
    if (fused) return fused->step(*regularizer, ones, std::vector<double>(sets.size(), step));
    std::vector<compress::SetStep> steps;
    for (const auto& set : sets) steps.push_back({set, step});
    compress::prox_sets(*regularizer, steps);
  };
  once(options.step);
  if (!options.out.empty()) {
    io::TensorFile file;
    for (const auto& [name, tensor] : network.values()) file.tensors.emplace(name, tensor.to(Device{}));
    io::write_safetensors(options.out, file);
  }
  // So small a step that the weights stay what they are for as long as it takes, while every scale differs from 1.
  constexpr double kTiny = 1e-7;
  if (fused) {
    fused->send(ones, std::vector<double>(sets.size(), kTiny));
    fused->queue(*regularizer);
    accelerator()->begin_capture(stream.device().index);
    fused->queue(*regularizer);
    graph = accelerator()->end_capture(stream.device().index);
  }
  const double seconds = bench::seconds_of(options.seconds, stream, [&] { graph ? graph->replay() : once(kTiny); });
  return {{"work", "prox"}, {"matrices", sets.size()}, {"seconds", seconds}, {"how", graph ? "one launch in a graph" : "matrices side by side"}};
}

struct Batch {
  Tensor images, labels;
};

// The file's, or pictures and labels at random.
Batch batch_of(const Options& options, const Network& network, Device device) {
  const std::int64_t classes = infer_shapes(network.graph()).at(static_cast<std::size_t>(network.graph().output)).size();
  Batch batch;
  if (options.batch.empty()) {
    const FeatureShape& in = network.graph().input;
    batch = {Tensor::empty({options.images, in.h, in.w, in.c}), Tensor::empty({options.images}, DType::kInt32)};
    for (std::int64_t i = 0; i < batch.images.size(); ++i) batch.images.mutable_data()[i] = uniform(random_words(0, RandomUse::kTest, 0, static_cast<std::uint64_t>(i)).word[0]);
    for (std::int64_t n = 0; n < options.images; ++n) batch.labels.mutable_data<std::int32_t>()[n] = static_cast<std::int32_t>(n % classes);
  } else {
    const io::TensorFile file = io::read_safetensors(options.batch);
    require(file.tensors.contains("images") && file.tensors.contains("labels"), "{}: expected tensors 'images' and 'labels'", options.batch);
    batch = {file.tensors.at("images"), file.tensors.at("labels")};
  }
  check_labels(batch.labels, classes);
  return {batch.images.to(device), batch.labels.to(device)};
}

nlohmann::json step(const Options& options, Network& network, const Stream& stream) {
  const auto [images, labels] = batch_of(options, network, stream.device());
  Sgd optimizer({.momentum = 0.9f, .decay = 1e-4f});
  TrainingStep training(network, optimizer, {.graph = !options.device.eager, .activations = options.device.activations()}, {}, stream);
  std::uint64_t count = 0;
  const auto once = [&] { training.run(images, labels, static_cast<float>(options.rate), count++); };
  std::vector<double> losses;
  for (int i = 0; i < 3; ++i) {
    once();
    losses.push_back(training.outcome().loss);
  }
  const double seconds = bench::seconds_of(options.seconds, stream, once);
  return {{"work", "step"}, {"losses", losses}, {"seconds", seconds}, {"how", training.how()}, {"images", images.dim(0)}};
}

int run(const Options& options, const std::string& work) {
  cli::lines_to_stderr();
  const Device device = options.device.choose();
  Network network = options.weights.weights.empty() ? cli::random_network(options.weights) : cli::load_model(options.weights).network;
  const Stream stream = stream_of(device);
  if (!options.batch.empty()) {
    const io::SafetensorsFile file(options.batch);
    const std::vector<std::int64_t> shape = file.tensors().at("images").shape;
    if (shape.size() == 4) network = cli::for_pictures(network, shape[1], shape[2]);
  }
  network.move_to(device);
  nlohmann::json result;
  if (work == "prox") {
    result = prox(options, network, stream);
  } else if (work == "step") {
    result = step(options, network, stream);
  } else {
    const auto [images, labels] = batch_of(options, network, device);
    result = bench::search_work(network, images, labels, {.mode = options.mode, .rate = options.rate, .seconds = options.seconds, .eager = options.device.eager, .activations = options.device.activations()});
  }
  result["device"] = cli::device_description();
  std::printf("%s\n", io::json_text(result, "result").c_str());
  return 0;
}

}  // namespace
}  // namespace hinge

int main(int argc, char** argv) {
  CLI::App app("hinge-workload: a proximal step, training steps or steps of a search, for comparison with another program");
  app.require_subcommand(1);
  hinge::Options options;
  const auto common = [&](const char* name, const char* help) {
    CLI::App* command = app.add_subcommand(name, help);
    hinge::cli::Flags flags(*command);
    options.weights.declare(flags);
    options.device.declare(flags, hinge::cli::DeviceUse::kTraining);
    command->add_option("--seconds", options.seconds, "To measure for, about");
    return command;
  };
  CLI::App* prox = common("prox", "The proximal step of the group lasso on every convolution's filters");
  prox->add_option("--step", options.step, "Of the proximal operator");
  prox->add_option("--out", options.out, "Write the weights behind one step to this file");
  const auto on_batch = [&](CLI::App* command) {
    CLI::Option* file = command->add_option("--batch", options.batch, "safetensors file with images and labels (default: pictures at random)");
    command->add_option("--images", options.images, "That many pictures at random")->check(CLI::Range(1, 65536))->excludes(file);
    command->add_option("--rate", options.rate, "Learning rate");
    return command;
  };
  on_batch(common("step", "Training steps on one batch"));
  on_batch(common("search", "Steps of a search on one batch: matrices attached, penalty and control included"))->add_option("--mode", options.mode, "What may go, as in hinge compress");
  return hinge::bench::run_main("hinge-workload", app, argc, argv, [&] { return hinge::run(options, app.get_subcommands().front()->get_name()); });
}
