// Every registered network: runs, has gradients everywhere, learns, and survives its file bit for bit.
#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/nn/model_file.h"
#include "engine/ops/loss.h"
#include "engine/optim/sgd.h"
#include "kernels/conv2d.h"
#include "models/registry.h"
#include "tests/engine/io/scratch.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// Small pictures where the family allows them; all layers keep their sizes, only pixels are fewer. VGG's five pools
// need 32, and at 64 the ImageNet networks end with 2x2.
Graph small(const std::string& name) {
  const models::Model& model = models::find(name);
  models::ModelOptions options;
  if (model.input.h > 32)
    options = {.classes = 10, .input = {64, 64, 3}};
  else if (name != "vgg16")
    options.input = {16, 16, 3};
  if (model.dropout) options.dropout = 0.1f;
  return models::build(name, options);
}

// 1x1 pictures at the end would leave BatchNorm four values a channel: enough.
constexpr std::int64_t kBatch = 4;

Tensor pictures(const Graph& graph) { return random_tensor({kBatch, graph.input.h, graph.input.w, graph.input.c}, 3, -2.0f, 2.0f); }

}  // namespace

TEST_CASE("every registered network has finite, non-zero gradients everywhere, and its loss falls on a fixed batch") {
  kernels::reset_conv("blocked");  // one implementation: measuring them takes longer than this test
  for (const std::string& name : models::names()) {
    INFO(name);
    Network network(small(name));
    initialise(network, 1);
    const Tensor x = pictures(network.graph());
    const Tensor labels = random_labels(kBatch, 10, 4);
    const std::vector<Parameter*> parameters = network.parameters();
    std::vector<Tensor> leaves;
    for (const Parameter* parameter : parameters) leaves.push_back(parameter->value);
    Sgd optimizer({.momentum = 0.9f});
    double first = 0.0, last = 0.0;
    constexpr int kSteps = 5;
    for (int step = 0; step < kSteps; ++step) {
      const Tensor logits = network.forward(x, {.training = true, .seed = 1, .step = static_cast<std::uint64_t>(step)}, {});
      REQUIRE(logits.shape() == Shape{kBatch, 10});
      const Tensor loss = classification_loss(logits, labels, {}, {}, {});
      last = static_cast<double>(loss.item());
      REQUIRE(std::isfinite(last));
      if (step == 0) first = last;
      const std::vector<Tensor> grads = gradients(loss, leaves, {});
      for (std::size_t i = 0; step == 0 && i < grads.size(); ++i) {
        double norm = 0.0;
        for (float value : grads[i].values()) norm += static_cast<double>(value) * static_cast<double>(value);
        INFO(parameters[i]->name);
        CHECK(std::isfinite(norm));
        // A convolution's bias in front of BatchNorm has none: the mean takes it away.
        const std::string& own = parameters[i]->name;
        const Graph& graph = network.graph();
        const bool cancelled = parameters[i]->kind == ParameterKind::kBias &&
                               graph.at(graph.find(own.substr(0, own.rfind('.')))).kind == OpKind::kConv2d;
        CHECK((cancelled || norm > 0.0));
      }
      optimizer.step(parameters, grads, 0.005f, {});
    }
    CAPTURE(first, last);
    CHECK(last <= 0.95 * first);
  }
  kernels::reset_conv();
}

TEST_CASE("every registered network comes back from its file, self-described, with the same logits bit for bit") {
  kernels::reset_conv("blocked");
  const io::Scratch scratch;
  const NoGradients guard;
  for (const std::string& name : models::names()) {
    INFO(name);
    Network network(small(name));
    initialise(network, 2);
    for (Buffer* buffer : network.buffers()) {
      const bool variance = buffer->name.ends_with("running_var");
      const Tensor values = random_tensor(buffer->value.shape(), 5, variance ? 0.5f : -0.1f, variance ? 1.5f : 0.1f);
      std::copy_n(values.data(), values.size(), buffer->value.mutable_data());
    }
    const std::filesystem::path path = scratch / "network.safetensors";
    write_network(path, network);
    Network back = network_from(read_model_file(path), {}, path.string());
    CHECK(back.graph() == network.graph());
    const Tensor x = pictures(network.graph());
    const Tensor logits = network.forward(x, {}, {});
    CHECK(same_bytes(back.forward(x, {}, {}), logits));
    for (float value : logits.values()) CHECK(std::isfinite(value));
  }
  kernels::reset_conv();
}
