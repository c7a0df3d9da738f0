#include "engine/nn/network.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/graph/builder.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/linear.h"
#include "engine/ops/loss.h"
#include "engine/ops/pooling.h"
#include "kernels/conv2d.h"
#include "models/registry.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// Away from what initialise gives: no BatchNorm is the identity, no bias is zero.
void set_random_values(Network& network, std::uint64_t seed) {
  initialise(network, seed);
  for (Parameter* p : network.parameters()) {
    if (p->kind == ParameterKind::kConvWeight || p->kind == ParameterKind::kLinearWeight) continue;
    const float middle = p->kind == ParameterKind::kNormScale ? 1.0f : 0.0f;
    const Tensor values = random_tensor(p->value.shape(), ++seed, middle - 0.5f, middle + 0.5f);
    std::ranges::copy(values.values(), p->value.mutable_data());
  }
  for (Buffer* b : network.buffers()) {
    const float middle = b->name.ends_with("var") ? 1.0f : 0.0f;
    const Tensor values = random_tensor(b->value.shape(), ++seed, middle - 0.5f, middle + 0.5f);
    std::ranges::copy(values.values(), b->value.mutable_data());
  }
}

// Every node by itself, in the graph's order, nothing folded and nothing let go of.
Tensor run_node_by_node(Network& network, const Tensor& x, const ForwardOptions& options) {
  const Graph& graph = network.graph();
  std::vector<Tensor> values = {x};
  for (int i = 1; i < graph.size(); ++i) {
    const GraphNode& node = graph.at(i);
    const auto input = [&](std::size_t j) {
      return values[static_cast<std::size_t>(node.inputs[j])];
    };
    const auto value = [&](const char* suffix) {
      return network.parameter(node.name + suffix).value;
    };
    const auto bias = [&](bool present) { return present ? value(".bias") : Tensor(); };
    Tensor y;
    if (const auto* conv = std::get_if<ConvAttributes>(&node.attributes)) {
      y = conv2d(input(0), value(".weight"), bias(conv->bias),
                 {conv->stride, conv->padding, conv->groups}, {});
    } else if (const auto* dense = std::get_if<LinearAttributes>(&node.attributes)) {
      y = linear(input(0), value(".weight"), bias(dense->bias), {});
    } else if (const auto* norm = std::get_if<BatchNormAttributes>(&node.attributes)) {
      const Tensor gamma = value(".weight"), beta = value(".bias");
      y = batch_norm(
          input(0),
          {gamma, beta, network.buffer(node.name + ".running_mean").value,
           network.buffer(node.name + ".running_var").value},
          {}, {.training = options.training, .momentum = norm->momentum, .epsilon = norm->epsilon},
          {});
    } else if (const auto* act = std::get_if<ReluAttributes>(&node.attributes)) {
      y = act->ceiling > 0.0f ? capped_relu(input(0), act->ceiling, {}) : relu(input(0), {});
    } else if (node.kind == OpKind::kAdd) {
      y = add(input(0), input(1), {});
    } else if (node.kind == OpKind::kConcat) {
      y = concat(std::vector{input(0), input(1)}, {});
    } else if (const auto* pool = std::get_if<PoolAttributes>(&node.attributes)) {
      const PoolOptions window{pool->window, pool->stride, pool->padding};
      y = node.kind == OpKind::kMaxPool ? max_pool(input(0), window, {})
                                        : average_pool(input(0), window, {});
    } else if (node.kind == OpKind::kGlobalAveragePool) {
      y = global_average_pool(input(0), {});
    } else if (const auto* shortcut = std::get_if<ShortcutAttributes>(&node.attributes)) {
      y = shortcut_a(input(0), {shortcut->before, shortcut->after, shortcut->pool}, {});
    } else if (node.kind == OpKind::kFlatten) {
      y = flatten(input(0), {});
    } else if (const auto* drop = std::get_if<DropoutAttributes>(&node.attributes)) {
      y = options.training
              ? dropout(input(0),
                        {drop->rate, options.seed, options.step, static_cast<std::uint32_t>(i)}, {})
              : input(0);
    }
    values.push_back(y);
  }
  return values[static_cast<std::size_t>(graph.output)];
}

// Everything that a plan of steps can get wrong: an add whose other side comes later, a BatchNorm
// that two read, one that is the output of an add with itself, concatenation, dropout, and an
// output in the middle.
Graph awkward_graph() {
  GraphBuilder g("awkward", {8, 8, 3});
  const int a = g.batch_norm("norm a", g.conv("conv a", 0, 4));
  const int b = g.batch_norm("norm b", g.conv("conv b", 0, 4));
  const int sum = g.relu("relu sum", g.add("b plus a", b, a));
  const int c = g.batch_norm("norm c", sum);
  const int doubled = g.add("c plus c", c, c);
  const int d = g.batch_norm("norm d", doubled);
  const int early = g.add("sum plus d", sum, d);  // no ReLU behind it
  const int e = g.batch_norm("norm e", early);
  const int read_twice = g.relu("relu e", e);
  const int both = g.concat("both", {read_twice, e});
  const int dropped = g.dropout("drop", both, 0.25f);
  const int capped = g.batch_norm("norm capped", g.conv("conv capped", dropped, 4));  // a ReLU that can't be folded
  const int pooled = g.max_pool("pool", g.relu("capped", capped, {.ceiling = 0.5f}), {});
  const int f = g.batch_norm("norm f", pooled);
  g.relu("never read", f);
  return std::move(g).finish(f);
}

void compare_with_node_by_node(const Graph& graph) {
  Network folded(graph);
  set_random_values(folded, 1);
  Network plain = folded.clone();
  const Tensor x = random_tensor({4, graph.input.h, graph.input.w, graph.input.c}, 2);
  for (const bool training : {false, true, true, false}) {
    INFO("training " << training);
    const ForwardOptions options{.training = training, .seed = 3, .step = 4};
    const Tensor got = folded.forward(x, options, {}), want = run_node_by_node(plain, x, options);
    // The folded pass rounds scale * x + shift + residual at other places, or not at all where the
    // machine fuses: some roundings of the values between, which BatchNorm keeps near one, for each
    // layer.
    Array wanted(want), magnitude(want.shape(), 1.0);
    double largest = 0.0;
    for (double value : wanted.data) largest = std::max(largest, std::fabs(value));
    for (double& value : magnitude.data) value += largest;
    CHECK(mismatch(got, wanted, magnitude, 4.0 * graph.size()) == "");
    for (std::size_t i = 0; i < folded.buffers().size(); ++i) {
      const Buffer &a = *folded.buffers()[i], &b = *plain.buffers()[i];
      INFO(a.name);
      CHECK(mismatch(a.value, Array(b.value), Array(b.value.shape(), 2.0), 4.0 * graph.size()) ==
            "");
    }
    const Tensor weights = random_tensor(got.shape(), 5);
    std::vector<Tensor> leaves, plain_leaves;
    for (Parameter* p : folded.parameters()) leaves.push_back(p->value);
    for (Parameter* p : plain.parameters()) plain_leaves.push_back(p->value);
    const auto a = gradients(weighted_sum(got, weights), leaves, {});
    const auto b = gradients(weighted_sum(want, weights), plain_leaves, {});
    for (std::size_t i = 0; i < a.size(); ++i) {
      INFO(folded.parameters()[i]->name);
      double size = 1.0;
      for (float value : b[i].values())
        size = std::max(size, std::fabs(static_cast<double>(value)));
      CHECK(mismatch(a[i], Array(b[i]), Array(b[i].shape(), size), 256.0 * graph.size()) == "");
    }
  }
}

}  // namespace

TEST_CASE("folding BatchNorm, add and ReLU changes neither outputs nor statistics nor gradients") {
  kernels::reset_conv("blocked");  // both sides must take the same convolutions
  for (const std::string shortcut : {"A-pool", "A-stride", "C"}) {
    INFO(shortcut);
    compare_with_node_by_node(models::build("resnet8", {.input = {8, 8, 3}, .shortcut = shortcut}));
  }
  INFO("the awkward graph");
  compare_with_node_by_node(awkward_graph());
  kernels::reset_conv();
}

TEST_CASE("a whole network's gradients agree with differences of its float32 loss") {
  kernels::reset_conv("blocked");
  for (const std::string shortcut : {"A-pool", "A-stride", "C"}) {
    Network network(models::build("resnet8", {.input = {8, 8, 3}, .shortcut = shortcut}));
    set_random_values(network, 1);
    const Tensor x = random_tensor({2, 8, 8, 3}, 2), labels = random_labels(2, 10, 3);
    const auto loss = [&] {
      return classification_loss(network.forward(x, {.training = true}, {}), labels, {}, {}, {});
    };
    std::vector<Tensor> leaves;
    for (Parameter* p : network.parameters()) leaves.push_back(p->value);
    const auto got = gradients(loss(), leaves, {});
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      // Along the gradient itself, and along it with random signs: |direction| = 1 either way.
      double norm = 0.0;
      for (float value : got[i].values())
        norm += static_cast<double>(value) * static_cast<double>(value);
      norm = std::sqrt(norm);
      for (const bool signs : {false, true}) {
        INFO(shortcut << ", " << network.parameters()[i]->name << ", random signs " << signs);
        const Tensor random = random_tensor(leaves[i].shape(), 7);
        std::vector<double> direction;
        double slope = 0.0;
        for (std::int64_t j = 0; j < random.size(); ++j) {
          const double g = static_cast<double>(got[i].data()[j]);
          direction.push_back((signs && random.data()[j] < 0.0f ? -g : g) / std::max(norm, 1e-30));
          slope += g * direction.back();
        }
        const Tensor before = leaves[i].clone();
        const double step = 2e-3;
        const auto loss_at = [&](double steps) {
          const NoGradients off;
          Tensor value = leaves[i];
          for (std::int64_t j = 0; j < value.size(); ++j) {
            value.mutable_data()[j] =
                static_cast<float>(static_cast<double>(before.data()[j]) +
                                   steps * step * direction[static_cast<std::size_t>(j)]);
          }
          const double result = static_cast<double>(loss().item());
          std::ranges::copy(before.values(), value.mutable_data());
          return result;
        };
        const double difference = (loss_at(1) - loss_at(-1)) / (2.0 * step);
        // The loss, near 3, is rounded at every layer: 32 roundings over the step. Curvature and
        // the ReLUs that switch within the step: 2 per cent.
        const double tolerance = 32.0 * 3.0 * kEpsilon / step + 0.02 * norm;
        CAPTURE(difference, slope, tolerance, norm);
        CHECK(std::fabs(difference - slope) <= tolerance);
      }
    }
  }
  kernels::reset_conv();
}

TEST_CASE(
    "the forward pass in training lets go of what nobody reads, and inference keeps nothing") {
  Network network(models::build("resnet20", {}));
  initialise(network, 1);
  const Tensor x = random_tensor({2, 32, 32, 3}, 1);
  const NoGradients off;
  network.forward(x, {}, {});
  reset_peak_memory({});
  const std::size_t before = memory_use({}).used;
  network.forward(x, {}, {});
  CHECK(memory_use({}).used == before);
  // Input, output and residual of a step of 16 x 32 x 32 for two pictures, not the 21 layers' all.
  CHECK(memory_use({}).peak - before <= 4u * 2 * 16 * 32 * 32 * sizeof(float));
}

TEST_CASE("pictures that do not fit the network are refused with both sizes") {
  Network network(models::build("resnet8", {}));
  CHECK_THROWS_WITH(
      network.forward(Tensor::zeros({1, 28, 28, 1}), {}, {}),
      contains("[1, 28, 28, 1]") && contains("[N, 32, 32, 3]") && contains("resnet8"));
  CHECK_THROWS_AS(network.forward(Tensor::zeros({32, 32, 3}), {}, {}), Error);
}

TEST_CASE("an empty batch passes through a network") {
  Network network(models::build("resnet8", {}));
  CHECK(network.forward(Tensor::zeros({0, 32, 32, 3}), {}, {}).shape() == Shape{0, 10});
}

TEST_CASE("a clone has equal values and scales, and shares none of them") {
  Network network(models::build("resnet8", {.input = {8, 8, 3}}));
  set_random_values(network, 1);
  network.parameter("conv1.weight").rate_scale = 0.5f;
  network.parameter("linear.weight").decay_scale = 0.25f;
  Network copy = network.clone();
  CHECK(copy.graph() == network.graph());
  CHECK(copy.parameter("conv1.weight").rate_scale == 0.5f);
  CHECK(copy.parameter("linear.weight").decay_scale == 0.25f);
  const auto a = network.values(), b = copy.values();
  REQUIRE(a.size() == b.size());
  for (const auto& [name, value] : a) CHECK(same_bytes(value, b.at(name)));
  for (Parameter* p : copy.parameters()) p->value.mutable_data()[0] = 99.0f;
  for (Parameter* p : network.parameters()) CHECK(p->value.data()[0] != 99.0f);
  network.forward(random_tensor({2, 8, 8, 3}, 1), {.training = true}, {});
  CHECK_FALSE(
      same_bytes(network.buffer("bn1.running_mean").value, copy.buffer("bn1.running_mean").value));
}

TEST_CASE("values() shares the network's memory, set_values copies") {
  Network network(models::build("resnet8", {}));
  auto values = network.values();
  values.at("linear.bias").mutable_data()[0] = 5.0f;
  CHECK(network.parameter("linear.bias").value.data()[0] == 5.0f);
  Network other(models::build("resnet8", {}));
  other.set_values(values);
  values.at("linear.bias").mutable_data()[0] = 6.0f;
  CHECK(other.parameter("linear.bias").value.data()[0] == 5.0f);
  CHECK(wants_gradient(other.parameter("linear.bias").value));
}

TEST_CASE("weights that do not fit are listed one by one, and nothing is changed") {
  Network network(models::build("resnet8", {}));
  const auto before = network.clone().values();
  auto values = network.clone().values();
  values.at("conv1.bias").mutable_data()[0] = 7.0f;
  values.erase("bn1.weight");
  values.erase("layer2.0.bn1.running_var");
  values.emplace("extra.weight", Tensor::zeros({1}));
  values.emplace("fc.bias", Tensor::zeros({1}));
  values.at("linear.weight") = Tensor::zeros({10, 63});
  values.at("linear.bias") = Tensor::zeros({10}, DType::kFloat64);
  CHECK_THROWS_AS(network.set_values(values), Error);
  CHECK_THROWS_WITH(network.set_values(values),
                    contains("resnet8") &&
                        contains("missing: bn1.weight, layer2.0.bn1.running_var") &&
                        contains("not in the network: extra.weight, fc.bias") &&
                        contains("linear.weight is F32 [10, 63], expected F32 [10, 64]") &&
                        contains("linear.bias is F64 [10], expected F32 [10]"));
  for (const auto& [name, value] : network.values()) CHECK(same_bytes(value, before.at(name)));
}

TEST_CASE("a name that the network does not have is an error with the name") {
  Network network(models::build("resnet8", {}));
  CHECK_THROWS_WITH(network.parameter("conv9.weight"), contains("conv9.weight"));
  CHECK_THROWS_WITH(network.buffer("conv1.weight"), contains("conv1.weight"));
  CHECK_FALSE(network.has_parameter("bn1.running_mean"));
}

TEST_CASE("a network that was moved still runs, and its parameters stay where they were") {
  Network network(models::build("resnet8", {}));
  const Parameter* where = &network.parameter("linear.weight");
  Network moved = std::move(network);
  CHECK(&moved.parameter("linear.weight") == where);
  CHECK(moved.forward(Tensor::zeros({1, 32, 32, 3}), {}, {}).shape() == Shape{1, 10});
}
