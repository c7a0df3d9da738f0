// What a training step holds at once: the activations that the backward pass reads, and little more.
#include <algorithm>

#include "engine/autograd/backward.h"
#include "engine/graph/cost.h"
#include "engine/nn/network.h"
#include "engine/ops/loss.h"
#include "engine/optim/sgd.h"
#include "kernels/conv2d.h"
#include "models/registry.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// Bytes of float32 that a step with this batch may hold beyond the weights: the output of every node but ReLUs and
// additions, which run inside the BatchNorm before them; three more of the largest (the gradient that comes, the one
// that goes, a branch that waits); gradients and momentum of each parameter; an eighth for blocks rounded up.
std::size_t allowed_bytes(const Graph& graph, std::int64_t batch) {
  std::int64_t kept = 0, largest = 0, parameters = 0;
  for (const LayerCost& layer : layer_costs(graph)) {
    const std::int64_t size = batch * layer.output.h * layer.output.w * layer.output.c;
    if (layer.kind != OpKind::kRelu && layer.kind != OpKind::kAdd) kept += size;
    largest = std::max(largest, size);
    parameters += layer.cost.parameters;
  }
  return static_cast<std::size_t>(4 * (kept + 3 * largest + 2 * parameters)) * 9 / 8;
}

}  // namespace

TEST_CASE("a training step holds what its backward pass reads and little more, and lets go of all of it") {
  kernels::reset_conv("blocked");
  constexpr std::int64_t kBatch = 16;
  for (const std::string name : {"resnet20", "vgg16", "densenet40", "resnext20", "mobilenet_v2"}) {
    INFO(name);
    models::ModelOptions options{.classes = 10};
    if (models::find(name).input.h > 32) options.input = {64, 64, 3};
    Network network(models::build(name, options));
    initialise(network, 1);
    const FeatureShape& input = network.graph().input;
    const Tensor x = random_tensor({kBatch, input.h, input.w, input.c}, 3, -2.0f, 2.0f), labels = random_labels(kBatch, 10, 4);
    const std::vector<Parameter*> parameters = network.parameters();
    std::vector<Tensor> leaves;
    for (const Parameter* parameter : parameters) leaves.push_back(parameter->value);
    Sgd optimizer({.momentum = 0.9f});
    const std::size_t before = memory_use({}).used;
    reset_peak_memory({});
    std::size_t after_first = 0;
    for (int step = 0; step < 2; ++step) {
      {
        const Tensor loss = classification_loss(network.forward(x, {.training = true, .step = static_cast<std::uint64_t>(step)}, {}), labels, {}, {}, {});
        optimizer.step(parameters, gradients(loss, leaves, {}), 0.01f, {});
      }
      if (step == 0) after_first = memory_use({}).used;
    }
    const std::size_t held = memory_use({}).peak - before, allowed = allowed_bytes(network.graph(), kBatch);
    INFO(held << " bytes held, " << allowed << " allowed");
    CHECK(held <= allowed);
    CHECK(2 * held >= allowed);                 // else the bound says nothing
    CHECK(memory_use({}).used == after_first);  // momentum stays; nothing else grows
  }
}
