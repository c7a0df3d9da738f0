#include "models/registry.h"

#include <algorithm>
#include <limits>

#include "engine/core/error.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;

TEST_CASE("an unknown model is a usage error with the known names and the nearest") {
  CHECK_THROWS_AS(models::build("resnet21", {}), UsageError);
  CHECK_THROWS_WITH(models::build("resnet21", {}), contains("'resnet21'") && contains("resnet56") &&
                                                       contains("did you mean 'resnet20'?"));
  CHECK_THROWS_WITH(models::build("transformer", {}),
                    contains("'transformer'") && contains("resnet20"));
}

TEST_CASE("a number of classes that makes no sense is a usage error") {
  for (const std::int64_t classes : {-1, 0, 1}) {
    CHECK_THROWS_AS(models::build("resnet20", {.classes = classes}), UsageError);
  }
  CHECK(models::build("resnet20", {.classes = 2}).nodes.size() > 1);
}

TEST_CASE("every registered name builds, and a name is registered once") {
  const std::vector<std::string> names = models::names();
  CHECK(std::is_sorted(names.begin(), names.end()));
  for (const std::string& name : names) {
    INFO(name);
    const models::Model& model = models::find(name);
    const Graph graph = models::build(name, {});
    CHECK(graph.architecture == name);
    CHECK(graph.input == model.input);
    CHECK(infer_shapes(graph)[static_cast<std::size_t>(graph.output)] == FeatureShape{1, 1, model.classes});
  }
  const auto nothing = [](const models::ModelSettings&) { return Graph(); };
  CHECK_FALSE(models::register_model("resnet20", {.build = nothing}));
  CHECK(models::build("resnet20", {}).size() > 1);
}

TEST_CASE("an option that a family doesn't have is a usage error that names both") {
  CHECK_THROWS_AS(models::build("vgg16", {.shortcut = "C"}), UsageError);
  CHECK_THROWS_WITH(models::build("vgg16", {.shortcut = "C"}), contains("vgg16") && contains("'C'"));
  CHECK_THROWS_AS(models::build("resnet20", {.dropout = 0.1f}), UsageError);
  CHECK_THROWS_WITH(models::build("resnet20", {.dropout = 0.1f}), contains("resnet20") && contains("dropout"));
  for (const float rate : {-0.1f, 1.0f, std::numeric_limits<float>::quiet_NaN()}) {
    CHECK_THROWS_AS(models::build("wrn-16-10", {.dropout = rate}), UsageError);
  }
  const auto dropouts = [](const Graph& graph) {
    return std::ranges::count_if(graph.nodes, [](const GraphNode& node) { return node.kind == OpKind::kDropout; });
  };
  CHECK(dropouts(models::build("wrn-16-10", {})) == 0);
  CHECK(dropouts(models::build("wrn-16-10", {.dropout = 0.3f})) == 6);
  CHECK(dropouts(models::build("mobilenet_v2", {})) == 1);
}

TEST_CASE("a picture that a network can't take is a usage error with the size and the layer") {
  CHECK_THROWS_AS(models::build("vgg16", {.input = {16, 16, 3}}), UsageError);
  CHECK_THROWS_WITH(models::build("vgg16", {.input = {16, 16, 3}}),
                    contains("vgg16") && contains("16x16x3") && contains("features.43"));
  CHECK_THROWS_WITH(models::build("resnet18", {.input = {64, 96, 3}}), contains("avgpool") && contains("square"));
}

TEST_CASE("a DenseNet's layer puts its own channels behind those it read") {
  const Graph graph = models::build("densenet40", {});
  int concatenations = 0;
  for (const GraphNode& node : graph.nodes) {
    if (node.kind != OpKind::kConcat) continue;
    ++concatenations;
    REQUIRE(node.inputs.size() == 2);
    const GraphNode& norm = graph.at(graph.find(node.name.substr(0, node.name.rfind('.')) + ".bn1"));
    CHECK(node.inputs[0] == norm.inputs[0]);
    CHECK(graph.at(node.inputs[1]).kind == OpKind::kConv2d);
  }
  CHECK(concatenations == 36);
}
