// Peak resident memory of training steps on made-up pictures: forward, loss, backward, SGD with momentum.
// tools/bench/memory.sh compares it with tools/bench/torch_step_memory.py, which takes the same step.
#include <omp.h>

#include <CLI/CLI.hpp>

#include "engine/autograd/backward.h"
#include "engine/core/storage.h"
#include "engine/nn/network.h"
#include "engine/ops/loss.h"
#include "engine/optim/sgd.h"
#include "kernels/philox.h"
#include "models/registry.h"
#include "tools/hinge/resident.h"

namespace {

using namespace hinge;

struct Options {
  std::string model = "resnet56", shortcut = "A-stride";
  std::int64_t batch = 128;
  int steps = 4, threads = 2;
};

Tensor pictures(std::int64_t batch) {
  Tensor x = Tensor::empty({batch, 32, 32, 3});
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const PhiloxWords words = random_words(1, RandomUse::kTest, 0, static_cast<std::uint64_t>(i));
    x.mutable_data()[i] = 2.0f * uniform(words.word[0]) - 1.0f;
  }
  return x;
}

Tensor labels(std::int64_t batch) {
  Tensor y = Tensor::empty({batch}, DType::kInt32);
  for (std::int64_t i = 0; i < batch; ++i) y.mutable_data<std::int32_t>()[i] = static_cast<std::int32_t>(i % 10);
  return y;
}

void run(const Options& options) {
  const std::int64_t baseline = cli::peak_resident_bytes();
  omp_set_num_threads(options.threads);
  Network network(models::build(options.model, {.shortcut = options.shortcut}));
  initialise(network, 0);
  Sgd optimizer({.momentum = 0.9f, .decay = 1e-4f});
  const Stream stream;
  const Tensor x = pictures(options.batch), y = labels(options.batch);
  float loss_value = 0.0f;
  for (int step = 0; step < options.steps; ++step) {
    const Tensor loss = classification_loss(network.forward(x, {.training = true}, stream), y, Tensor(), {}, stream);
    loss_value = static_cast<float>(loss.item());
    const std::vector<Parameter*> parameters = network.parameters();
    std::vector<Tensor> leaves;
    for (const Parameter* parameter : parameters) leaves.push_back(parameter->value);
    optimizer.step(parameters, gradients(loss, leaves, stream), 0.1f, stream);
  }
  fmt::print("{{\"program\": \"hinge\", \"baseline_bytes\": {}, \"peak_bytes\": {}, \"tensors_peak_bytes\": {}, \"loss\": {}}}\n",
             baseline, cli::peak_resident_bytes(), memory_use({}).peak, loss_value);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Peak resident memory of a training step");
  Options options;
  app.add_option("--model", options.model);
  app.add_option("--shortcut", options.shortcut);
  app.add_option("--batch", options.batch);
  app.add_option("--steps", options.steps);
  app.add_option("--threads", options.threads);
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "step_memory: {}\n", error.what());
    return 1;
  }
}
