// Recipes: those in the program fit their networks, those in files are checked, and flags override both.
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "models/registry.h"
#include "tests/support/catch.h"
#include "tests/support/tiny.h"
#include "tests/tools/process.h"
#include "tools/hinge/compression.h"
#include "tools/hinge/recipe.h"

using namespace hinge;
using namespace hinge::testing;
using nlohmann::json;

namespace {

// The options of `hinge compress` behind a recipe and a command line.
struct Request {
  CLI::App app;
  cli::Flags flags{app};
  cli::CompressOptions options;
  explicit Request(const std::vector<std::string>& arguments = {}) {
    options.declare(app, flags);
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(reversed);
  }
};

std::string written(const io::Scratch& scratch, const std::string& name, const std::string& text) {
  const auto path = scratch.folder() / name;
  std::ofstream(path) << text;
  return path.string();
}

}  // namespace

TEST_CASE("every recipe in the program sets options that exist, and a target that its network can reach") {
  REQUIRE(cli::recipe_names().size() >= 12);
  for (const std::string& name : cli::recipe_names()) {
    INFO(name);
    Request request;
    const json expected = cli::apply_recipe(name, request.app, request.flags);
    const json file = json::parse(slurp(std::string(HINGE_SOURCE_DIR) + "/compress/recipes/" + name + ".json"));
    const json values = request.flags.values();
    for (const auto& [option, value] : file["options"].items()) CHECK(values[option] == value);
    const bool hundred = file["data"] == "cifar100";
    CHECK((hundred || file["data"] == "cifar10"));
    const Graph graph = models::build(file["network"], {.classes = hundred ? 100 : 10});
    const cli::CompressionTask task = cli::make_task(request.options, graph);
    REQUIRE(task.targets.size() == 1);
    // The target is the row's own share of the FLOPs, to a point.
    CHECK((std::abs(100.0 * task.targets[0].flops.value() - expected["flops"].get<double>()) <= 1.0));
    for (const char* key : {"source", "top1_error", "baseline_error", "parameters"}) CHECK(expected.contains(key));
  }
}

TEST_CASE("a flag on the command line stays what it is, whatever the recipe says") {
  Request request({"--lambda", "0.5", "--no-balance"});
  cli::apply_recipe("resnet20-45", request.app, request.flags);
  CHECK(request.options.search.lambda == 0.5);
  CHECK(request.options.search.no_balance);
  CHECK(request.options.search.init == "svd2");
  CHECK(request.options.finetune.epochs == 300);
}

TEST_CASE("what is no recipe is refused with the nearest known name") {
  const io::Scratch scratch;
  const auto apply = [](const std::string& recipe) {
    Request request;
    cli::apply_recipe(recipe, request.app, request.flags);
  };
  CHECK_THROWS_AS(apply("resnet2O-45"), UsageError);
  CHECK_THROWS_WITH(apply("resnet2O-45"), contains("did you mean 'resnet20-45'"));
  CHECK_THROWS_WITH(apply(written(scratch, "a.json", R"({"options": {"lamda": 1e-4}})")),
                    contains("a.json") && contains("'lamda'") && contains("did you mean 'lambda'"));
  CHECK_THROWS_WITH(apply(written(scratch, "b.json", R"({"options": {}, "expectd": {}})")), contains("'expectd'") && contains("did you mean 'expected'"));
  CHECK_THROWS_WITH(apply(written(scratch, "c.json", R"({"network": "resnet20"})")), contains("c.json") && contains("options"));
  CHECK_THROWS_WITH(apply(written(scratch, "d.json", R"({"options": {"lambda": "much"}})")), contains("d.json") && contains("lambda") && contains("much"));
  CHECK_THROWS_AS(apply(written(scratch, "e.json", R"({"options": {)")), Error);
  CHECK_THROWS_AS(apply(written(scratch, "f.json", "[]")), Error);
  CHECK_THROWS_WITH(apply(written(scratch, "g.json", R"({"network": 0, "options": {}})")), contains("g.json") && contains("'network' is 0, expected a text"));
}

TEST_CASE("a recipe from a file runs, its expected row stands beside the result, and a bad one leaves no folder") {
  const io::Scratch scratch;
  const std::string data = (scratch.folder() / "cifar").string(), weights = (scratch.folder() / "net.safetensors").string();
  write_tiny_cifar(data, 12);
  write_network(weights, tiny_network(1));
  const auto arguments = [&](const std::string& recipe, const std::string& run) {
    return std::vector<std::string>{"compress", "--recipe", recipe, "--weights", weights, "--data", "cifar10", "--data-dir", data,
                                    "--held-out", "12", "--epochs", "1", "--threads", "1", "--out", (scratch.folder() / run).string()};
  };
  const std::string good = written(scratch, "mine.json", R"({"network": "resnet8", "data": "cifar10",
      "options": {"target": ["flops=0.55"], "epochs": 300, "batch": 12, "search-epochs": 1, "method": "svd", "distill": 0.0},
      "expected": {"source": "a note", "top1_error": 12.5}})");
  const Outcome outcome = run_hinge(arguments(good, "run"));
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  CHECK_THAT(outcome.output, contains("12.5"));
  const json result = json::parse(slurp(scratch.folder() / "run/result.json"));
  CHECK(result["expected"]["source"] == "a note");
  CHECK(result["finetune_epochs"] == 1);
  CHECK((result["flops_ratio"].get<double>() <= 0.55 && result["flops_ratio"].get<double>() > 0.45));
  for (const std::string& bad : {std::string("resnet2O-45"), written(scratch, "bad.json", R"({"options": {"lamda": 1e-4}})")}) {
    const Outcome refusal = run_hinge(arguments(bad, "refused"));
    INFO(refusal.output);
    CHECK((refusal.code == 1 || refusal.code == 2));
    CHECK_THAT(refusal.output, contains("did you mean"));
    CHECK_FALSE(std::filesystem::exists(scratch.folder() / "refused"));
  }
}
