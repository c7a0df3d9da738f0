// hinge-workload: one of two pieces of work, on weights from a file, timed; tools/compare_pytorch.py has PyTorch do the same.
//
//   hinge-workload prox --weights W --step T --out OUT     the proximal step of the group lasso on every convolution's filters
//   hinge-workload step --weights W --batch B              training steps on one batch (tensors images [N,H,W,C], labels [N])
//
// Prints one line of JSON: what was computed (the first losses; OUT holds the weights behind one step), so that the other
// side can be compared with it, and the seconds of one step: the median of rounds, each of many steps queued without a look at
// any result.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>

#include "compress/proximal.h"
#include "engine/core/accelerator.h"
#include "engine/io/json.h"
#include "engine/io/safetensors.h"
#include "engine/optim/sgd.h"
#include "engine/train/training_step.h"
#include "tools/bench/run_main.h"
#include "tools/hinge/console.h"
#include "tools/hinge/options.h"

namespace hinge {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  cli::WeightsOptions weights;
  cli::DeviceOptions device;
  std::string batch, out;
  double step = 0.1, rate = 1e-3, seconds = 1.0;
};

// Rounds of `count` calls, each round as long as a fifth of what there is; seconds of a call, the median round.
template <class Queue>
double seconds_of(double seconds, const Stream& stream, const Queue& queue) {
  const auto round = [&](int count) {
    stream.synchronize();
    const auto start = Clock::now();
    for (int i = 0; i < count; ++i) queue();
    stream.synchronize();
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  round(3);  // convolutions are chosen, graphs captured
  const int count = static_cast<int>(std::clamp(seconds / 7.0 / round(1), 1.0, 2000.0));
  std::vector<double> samples;
  for (int i = 0; i < 7; ++i) samples.push_back(round(count) / count);
  std::ranges::sort(samples);
  return samples[samples.size() / 2];
}

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
    for (const auto& set : sets) regularizer->prox(set, step, stream);
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
  const double seconds = seconds_of(options.seconds, stream, [&] { graph ? graph->replay() : once(kTiny); });
  return {{"work", "prox"}, {"matrices", sets.size()}, {"seconds", seconds}, {"how", graph ? "one launch in a graph" : "matrix by matrix"}};
}

nlohmann::json step(const Options& options, Network& network, const Stream& stream) {
  const io::TensorFile batch = io::read_safetensors(options.batch);
  require(batch.tensors.contains("images") && batch.tensors.contains("labels"), "{}: expected tensors 'images' and 'labels'", options.batch);
  const Tensor images = batch.tensors.at("images").to(stream.device());
  check_labels(batch.tensors.at("labels"), infer_shapes(network.graph()).at(static_cast<std::size_t>(network.graph().output)).size());
  const Tensor labels = batch.tensors.at("labels").to(stream.device());
  Sgd optimizer({.momentum = 0.9f, .decay = 1e-4f});
  TrainingStep training(network, optimizer, {.graph = !options.device.eager}, {}, stream);
  std::uint64_t count = 0;
  const auto once = [&] { training.run(images, labels, static_cast<float>(options.rate), count++); };
  std::vector<double> losses;
  for (int i = 0; i < 3; ++i) {
    once();
    losses.push_back(training.outcome().loss);
  }
  const double seconds = seconds_of(options.seconds, stream, once);
  return {{"work", "step"}, {"losses", losses}, {"seconds", seconds}, {"how", training.how()}, {"images", images.dim(0)}};
}

int run(const Options& options, bool is_prox) {
  cli::lines_to_stderr();
  const Device device = options.device.choose();
  cli::LoadedModel model = cli::load_model(options.weights);
  const Stream stream = stream_of(device);
  if (!is_prox) {
    const io::SafetensorsFile file(options.batch);
    const std::vector<std::int64_t> shape = file.tensors().at("images").shape;
    if (shape.size() == 4) model.network = cli::for_pictures(model.network, shape[1], shape[2]);
  }
  model.network.move_to(device);
  nlohmann::json result = is_prox ? prox(options, model.network, stream) : step(options, model.network, stream);
  result["device"] = cli::device_description();
  std::printf("%s\n", io::json_text(result, "result").c_str());
  return 0;
}

}  // namespace
}  // namespace hinge

int main(int argc, char** argv) {
  CLI::App app("hinge-workload: a proximal step or training steps, for comparison with another program");
  app.require_subcommand(1);
  hinge::Options options;
  const auto common = [&](const char* name, const char* help) {
    CLI::App* command = app.add_subcommand(name, help);
    hinge::cli::Flags flags(*command);
    options.weights.declare(flags);
    options.device.declare(flags, true);
    command->add_option("--seconds", options.seconds, "To measure for, about");
    return command;
  };
  CLI::App* prox = common("prox", "The proximal step of the group lasso on every convolution's filters");
  prox->add_option("--step", options.step, "Of the proximal operator");
  prox->add_option("--out", options.out, "Write the weights behind one step to this file");
  CLI::App* step = common("step", "Training steps on one batch");
  step->add_option("--batch", options.batch, "safetensors file with images and labels")->required();
  step->add_option("--rate", options.rate, "Learning rate");
  return hinge::bench::run_main("hinge-workload", app, argc, argv, [&] { return hinge::run(options, prox->parsed()); });
}
