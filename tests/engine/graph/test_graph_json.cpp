#include "engine/graph/graph_json.h"

#include <functional>
#include <nlohmann/json.hpp>

#include "engine/graph/builder.h"
#include "models/registry.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;
using Json = nlohmann::json;

namespace {

// One node of every kind, every attribute away from its default.
Graph graph_of_everything() {
  GraphBuilder g("everything", {12, 12, 3});
  int x = g.conv("conv", 0, 8, {.kernel = 5, .stride = 2, .groups = 1, .padding = 1, .bias = true});
  x = g.conv("depthwise", x, 8, {.kernel = 3, .groups = 8});
  x = g.batch_norm("norm", x);
  const int relu = g.relu("relu", x, true);
  x = g.relu("capped", g.add("add", relu, x), {.ceiling = 6.0f});
  x = g.concat("concat", {x, relu});
  x = g.dropout("dropout", x, 0.3f);
  x = g.max_pool("max", x, {.window = 3, .stride = 1, .padding = 1});
  x = g.average_pool("average", x, {.window = 2, .stride = 1});
  x = g.shortcut_a("shortcut", x, {.before = 3, .after = 5, .pool = true});
  const int global = g.global_average_pool("global", x);
  x = g.flatten("flatten", global);
  Graph graph = std::move(g).finish(g.linear("linear", x, 7, false));
  auto& norm = std::get<BatchNormAttributes>(graph.at(graph.find("norm")).attributes);
  norm.epsilon = 1e-3f, norm.momentum = 0.01f;
  return graph;
}
Json json_of(const Graph& graph) { return Json::parse(graph_to_json(graph).dump()); }

}  // namespace

TEST_CASE("a graph comes back from its JSON text equal, whatever it holds") {
  const Graph graph = graph_of_everything();
  CHECK(graph_from_json(json_of(graph)) == graph);
  CHECK(graph_to_json(graph_from_json(json_of(graph))).dump() == graph_to_json(graph).dump());
  for (const std::string shortcut : {"A-pool", "A-stride", "C"}) {
    const Graph model = models::build("resnet20", {.classes = 100, .shortcut = shortcut});
    CHECK(graph_from_json(json_of(model)) == model);
  }
  Graph cut = graph;  // an output that is not the last node
  cut.output = cut.find("add");
  CHECK(graph_from_json(json_of(cut)) == cut);
}

TEST_CASE("a ReLU without a ceiling is written as before there were any, and read from such a file") {
  Json json = json_of(graph_of_everything());
  for (const Json& node : json["nodes"]) CHECK(node.contains("ceiling") == (node["name"] == "capped"));
}

TEST_CASE("JSON that is no graph is refused with an Error, whatever is wrong with it") {
  const Json good = json_of(graph_of_everything());
  const auto at = [](Json& json, const std::string& name) -> Json& {
    for (Json& node : json["nodes"]) {
      if (node["name"] == name) return node;
    }
    throw std::logic_error("the test names no node: " + name);
  };
  struct Change {
    const char* what;
    std::function<void(Json&)> make;
    const char* message;
  };
  const Json infinite = Json::parse("1e300");
  const std::vector<Change> changes = {
      {"a list", [](Json& j) { j = Json::array(); }, "JSON object"},
      {"null", [](Json& j) { j = nullptr; }, "JSON object"},
      {"no format", [](Json& j) { j.erase("format"); }, "'format' is missing"},
      {"another format", [](Json& j) { j["format"] = "hinge-graph-2"; }, "hinge-graph-1"},
      {"format a number", [](Json& j) { j["format"] = 1; }, "expected a string"},
      {"no architecture", [](Json& j) { j.erase("architecture"); }, "'architecture' is missing"},
      {"no input", [](Json& j) { j.erase("input"); }, "'input'"},
      {"input of two",
       [](Json& j) {
         j["input"] = {12, 12};
       },
       "'input'"},
      {"input of texts",
       [](Json& j) {
         j["input"] = {"12", 12, 3};
       },
       "whole numbers"},
      {"input of fractions",
       [](Json& j) {
         j["input"] = {12.5, 12, 3};
       },
       "whole numbers"},
      {"negative input",
       [](Json& j) {
         j["input"] = {-12, 12, 3};
       },
       "-12"},
      {"empty input",
       [](Json& j) {
         j["input"] = {12, 12, 0};
       },
       "12x12x0"},
      {"huge input",
       [](Json& j) {
         j["input"] = {1 << 24, 1 << 24, 1 << 24};
       },
       "elements"},
      {"input beyond 63 bits",
       [](Json& j) {
         j["input"] = {18446744073709551615u, 12, 3};
       },
       "the input is"},
      {"no output", [](Json& j) { j.erase("output"); }, "'output' is missing"},
      {"unknown output", [](Json& j) { j["output"] = "nowhere"; }, "'nowhere'"},
      {"no nodes", [](Json& j) { j.erase("nodes"); }, "'nodes'"},
      {"nodes an object", [](Json& j) { j["nodes"] = Json::object(); }, "'nodes'"},
      {"a node a number", [](Json& j) { j["nodes"][0] = 5; }, "expected an object"},
      {"a node without name", [](Json& j) { j["nodes"][0].erase("name"); }, "'name' is missing"},
      {"an empty name", [&](Json& j) { at(j, "linear")["name"] = "", j["output"] = ""; }, "empty"},
      {"a name twice", [&](Json& j) { at(j, "dropout")["name"] = "concat"; },
       "'concat' is used twice"},
      {"a node called input", [&](Json& j) { at(j, "conv")["name"] = "input"; },
       "'input' is used twice"},
      {"no op", [&](Json& j) { at(j, "relu").erase("op"); }, "'op' is missing"},
      {"unknown op", [&](Json& j) { at(j, "relu")["op"] = "gelu"; }, "'gelu'"},
      {"a second input node", [&](Json& j) { at(j, "add")["op"] = "input"; }, "first node"},
      {"no inputs", [&](Json& j) { at(j, "relu").erase("inputs"); }, "'inputs' must be an array"},
      {"empty inputs", [&](Json& j) { at(j, "relu")["inputs"] = Json::array(); }, "0 inputs"},
      {"inputs a text", [&](Json& j) { at(j, "relu")["inputs"] = "norm"; },
       "'inputs' must be an array"},
      {"inputs of numbers", [&](Json& j) { at(j, "relu")["inputs"] = {1}; }, "expected a name"},
      {"an input too many",
       [&](Json& j) {
         at(j, "relu")["inputs"] = {"norm", "norm"};
       },
       "2 inputs"},
      {"reads itself", [&](Json& j) { at(j, "relu")["inputs"] = {"relu"}; }, "no earlier node"},
      {"reads a later one", [&](Json& j) { at(j, "conv")["inputs"] = {"norm"}; },
       "no earlier node"},
      {"reads nobody", [&](Json& j) { at(j, "relu")["inputs"] = {"nobody"}; }, "'nobody'"},
      {"missing attribute", [&](Json& j) { at(j, "conv").erase("stride"); }, "'stride' is missing"},
      {"stride a text", [&](Json& j) { at(j, "conv")["stride"] = "2"; }, "whole number"},
      {"stride a fraction", [&](Json& j) { at(j, "conv")["stride"] = 1.5; }, "whole number"},
      {"stride zero", [&](Json& j) { at(j, "conv")["stride"] = 0; }, "stride is 0"},
      {"stride huge", [&](Json& j) { at(j, "conv")["stride"] = 4294967297; }, "out of range"},
      {"padding negative", [&](Json& j) { at(j, "conv")["padding"] = -1; }, "out of range"},
      {"padding huge", [&](Json& j) { at(j, "depthwise")["padding"] = 1 << 24; }, "elements"},
      {"groups zero", [&](Json& j) { at(j, "conv")["groups"] = 0; }, "groups is 0"},
      {"groups that don't divide", [&](Json& j) { at(j, "conv")["groups"] = 2; }, "2 groups"},
      {"wrong channels in", [&](Json& j) { at(j, "conv")["in"] = 4; },
       "takes 4 channels, its input has 3"},
      {"wrong channels out", [&](Json& j) { at(j, "conv")["out"] = 9; }, "its input has 9"},
      {"channels negative", [&](Json& j) { at(j, "conv")["out"] = -8; }, "out of range"},
      {"channels huge", [&](Json& j) { at(j, "linear")["out"] = 1 << 24; }, "weights"},
      {"bias a number", [&](Json& j) { at(j, "conv")["bias"] = 1; }, "true or false"},
      {"no kernel", [&](Json& j) { at(j, "conv").erase("kernel"); }, "'kernel'"},
      {"kernel a number", [&](Json& j) { at(j, "conv")["kernel"] = 3; }, "'kernel'"},
      {"kernel zero",
       [&](Json& j) {
         at(j, "conv")["kernel"] = {0, 3};
       },
       "0x3"},
      {"kernel negative",
       [&](Json& j) {
         at(j, "conv")["kernel"] = {3, -3};
       },
       "3x-3"},
      {"kernel beyond 32 bits",
       [&](Json& j) {
         at(j, "conv")["kernel"] = {4294967297, 3};
       },
       "4294967297"},
      {"kernel larger than the picture",
       [&](Json& j) {
         at(j, "conv")["kernel"] = {99, 99};
       },
       "99x99"},
      {"norm of other channels", [&](Json& j) { at(j, "norm")["channels"] = 16; },
       "has 16 channels, its input has 8"},
      {"epsilon zero", [&](Json& j) { at(j, "norm")["epsilon"] = 0; }, "epsilon"},
      {"epsilon null", [&](Json& j) { at(j, "norm")["epsilon"] = nullptr; }, "expected a number"},
      {"epsilon infinite", [&](Json& j) { at(j, "norm")["epsilon"] = infinite; }, "epsilon"},
      {"momentum infinite", [&](Json& j) { at(j, "norm")["momentum"] = infinite; }, "momentum"},
      {"momentum negative", [&](Json& j) { at(j, "norm")["momentum"] = -0.1; }, "momentum"},
      {"rate one", [&](Json& j) { at(j, "dropout")["rate"] = 1.0; }, "[0, 1)"},
      {"rate negative", [&](Json& j) { at(j, "dropout")["rate"] = -0.5; }, "[0, 1)"},
      {"window zero", [&](Json& j) { at(j, "max")["window"] = 0, at(j, "max")["padding"] = 0; },
       "window is 0"},
      {"pool padding too large", [&](Json& j) { at(j, "max")["padding"] = 2; },
       "padding 2 of a window of 3"},
      {"shortcut negative", [&](Json& j) { at(j, "shortcut")["before"] = -3; }, "out of range"},
      {"ceiling a text", [&](Json& j) { at(j, "capped")["ceiling"] = "6"; }, "expected a number"},
      {"ceiling negative", [&](Json& j) { at(j, "capped")["ceiling"] = -6; }, "ceiling is -6"},
      {"ceiling infinite", [&](Json& j) { at(j, "capped")["ceiling"] = infinite; }, "ceiling is inf"},
      {"functional missing", [&](Json& j) { at(j, "relu").erase("functional"); },
       "'functional' is missing"},
      {"linear of other features", [&](Json& j) { at(j, "linear")["in"] = 25; },
       "takes 25 features"},
      {"add of unequal shapes",
       [&](Json& j) {
         at(j, "add")["inputs"] = {"relu", "conv"}, at(j, "depthwise")["stride"] = 2;
       },
       "inputs differ"},
  };
  for (const Change& change : changes) {
    INFO(change.what);
    Json json = good;
    change.make(json);
    CHECK_THROWS_AS(graph_from_json(json), Error);
    CHECK_THROWS_WITH(graph_from_json(json), contains(change.message));
  }
}
