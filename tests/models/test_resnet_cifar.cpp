#include <algorithm>

#include "engine/core/error.h"
#include "engine/nn/network.h"
#include "models/registry.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;

TEST_CASE("a ResNet of depth 6n + 2 has 6n + 1 convolutions and one linear layer") {
  for (const int depth : {20, 32, 44, 56, 110}) {
    for (const std::string shortcut : {"A-pool", "A-stride", "C"}) {
      INFO(depth << " " << shortcut);
      const Graph graph = models::build("resnet" + std::to_string(depth), {.shortcut = shortcut});
      const auto count = [&](OpKind kind) {
        return std::ranges::count_if(graph.nodes,
                                     [&](const GraphNode& node) { return node.kind == kind; });
      };
      CHECK(count(OpKind::kConv2d) == depth - 1 + (shortcut == "C" ? 2 : 0));
      CHECK(count(OpKind::kLinear) == 1);
      CHECK(count(OpKind::kShortcutA) == (shortcut == "C" ? 0 : 2));
      CHECK(count(OpKind::kAdd) == (depth - 2) / 2);
      CHECK(std::get<ConvAttributes>(graph.at(1).attributes).bias == (shortcut != "A-stride"));
    }
  }
}

TEST_CASE("an unknown shortcut is a usage error with the known ones and the nearest") {
  CHECK_THROWS_AS(models::build("resnet20", {.shortcut = "A-pol"}), UsageError);
  CHECK_THROWS_WITH(
      models::build("resnet20", {.shortcut = "A-pol"}),
      contains("'A-pol'") && contains("A-pool, A-stride, C") && contains("did you mean 'A-pool'?"));
}

TEST_CASE("parameters carry the names of PyTorch's state dicts") {
  Network network(models::build("resnet20", {.shortcut = "C"}));
  for (const char* name : {"conv1.weight", "conv1.bias", "bn1.weight", "layer1.0.conv1.weight",
                           "layer3.2.bn2.bias", "layer2.0.shortcut.0.weight",
                           "layer2.0.shortcut.1.weight", "linear.weight", "linear.bias"}) {
    CHECK(network.has_parameter(name));
  }
  CHECK_NOTHROW(network.buffer("layer3.2.bn2.running_var"));
}

TEST_CASE("classes and pictures of other sizes are built as asked") {
  const Graph graph = models::build("resnet20", {.classes = 100, .input = {64, 64, 1}});
  const auto shapes = infer_shapes(graph);
  CHECK(shapes[static_cast<std::size_t>(graph.output)] == FeatureShape{1, 1, 100});
  CHECK(shapes[static_cast<std::size_t>(graph.find("pool")) - 1] == FeatureShape{16, 16, 64});
}
