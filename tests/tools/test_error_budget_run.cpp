// hinge compress --max-error-increase from outside: what is chosen is within, by the held-out images, also through kills.
#include <nlohmann/json.hpp>

#include "tests/support/catch.h"
#include "tests/support/tiny.h"
#include "tests/tools/process.h"
#include "tests/tools/tiny_bench.h"
#include "tools/hinge/evaluate.h"

using namespace hinge;
using namespace hinge::testing;
using nlohmann::json;

namespace {

struct Bench : TinyBench {
  Bench() : TinyBench(24) {}
  std::filesystem::path run(const std::string& name) const { return at(name); }

  std::vector<std::string> arguments(const std::string& name, const std::vector<std::string>& more) const {
    std::vector<std::string> all = {"compress", "--weights", weights, "--data", "cifar10", "--data-dir", data, "--held-out", "40", "--batch", "20", "--epochs", "1",
                                    "--search-epochs", "1", "--distill", "0", "--seed", "3", "--threads", "1", "--out", at(name)};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  json result(const std::string& name) const { return json::parse(slurp(run(name) / "result.json")); }
};

// Holds for every run with a budget, whatever its networks are worth.
void check_consistent(const json& result) {
  const json& budget = result.at("budget");
  const double before = budget["held_out_error_before"], allowed = budget["max_error_increase"];
  const auto candidates = budget["candidates"].get<std::vector<std::string>>();
  REQUIRE(result.at("networks").size() == budget["tried"].size());
  for (const json& trial : budget["tried"]) {
    CHECK(trial["within"] == (trial["held_out_error"].get<double>() - before <= allowed + 1e-9));
    const auto network = std::ranges::find_if(result["networks"], [&](const json& n) { return n["target"] == trial["target"]; });
    REQUIRE(network != result["networks"].end());
    CHECK((*network)["held_out_error"] == trial["held_out_error"]);
    CHECK((*network)["proof"]["relative"].get<double>() <= 1e-4);
  }
  if (budget["chosen"].is_null()) return;
  CHECK(result["target"] == budget["chosen"]);
}

}  // namespace

TEST_CASE("a budget that everything meets chooses the smallest network, and its files are the run's", "[night]") {
  const Bench b;
  const data::Dataset set = data::load_dataset("cifar10", b.data);
  const data::Split split = data::hold_out(set.train, 40);
  const auto error_on = [&](Network& of, const std::vector<int>& images) { return cli::evaluate(of, set.train, set.normalization, images, "").top1_error(); };
  // Random networks see one or two classes everywhere: one that errs differently on held-out and on training images.
  std::uint64_t seed = 1;
  Network network = tiny_network(seed);
  while (seed < 50 && std::abs(error_on(network, split.held_out) - error_on(network, split.train)) < 1.0) network = tiny_network(++seed);
  REQUIRE(seed < 50);
  write_network(b.weights, network);
  const Outcome outcome = run_hinge(b.arguments("run", {"--max-error-increase", "100"}));
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  const json result = b.result("run");
  check_consistent(result);
  CHECK(result["budget"]["chosen"] == result["budget"]["candidates"].back());
  // What is compared with is the error on the images that are held out, and on no others.
  CHECK(result["budget"]["held_out_error_before"].get<double>() == Approx(error_on(network, split.held_out)));
  CHECK(result["config"]["options"]["target"].size() == 1);  // what could be reached, kept for --resume and --config
  const std::string folder = result["folder"];
  for (const char* file : {"model.safetensors", "plan.json", "groups.json", "surgery.safetensors"}) CHECK(slurp(b.run("run") / file) == slurp(b.run("run") / folder / file));
  CHECK(run_hinge({"explain", b.at("run")}).code == 0);
  const std::string report = slurp(b.run("run") / "report.html");
  CHECK_THAT(report, contains("Error budget") && contains("the smallest that keeps within it"));
}

TEST_CASE("a budget in reach of some ends at the edge: the next smaller was tried and is beyond", "[night]") {
  const Bench b;
  // A network that was trained, so that compressing it costs something, and controls without a search: they cost more.
  const Outcome trained = run_hinge({"train", "--model", "resnet8", "--data", "cifar10", "--data-dir", b.data, "--held-out", "40", "--batch", "20", "--epochs", "14", "--lr", "0.1",
                                     "--seed", "3", "--threads", "1", "--out", b.at("trained")});
  INFO(trained.output);
  REQUIRE(trained.code == 0);
  int edges = 0, impossible = 0;
  const std::string four = "flops=0.97,0.8,0.65,0.5", one = "flops=0.9";
  for (const auto& [method, increase, target] : {std::tuple("l1-norm", "5", four), {"l1-norm", "28", four}, {"random", "1", four}, {"random", "0", one}}) {
    INFO(method << " " << increase);
    const std::string name = std::string(method) + increase;
    auto arguments = b.arguments(name, {"--method", method, "--lr", "0.001", "--max-error-increase", increase, "--target", target});
    arguments[2] = b.at("trained/model.safetensors");
    const Outcome outcome = run_hinge(arguments);
    INFO(outcome.output);
    const json result = b.result(name);
    check_consistent(result);
    const json& budget = result["budget"];
    const auto candidates = budget["candidates"].get<std::vector<std::string>>();
    CHECK(candidates.size() == (target == one ? 1 : 4));
    CHECK(candidates.front() == target.substr(0, candidates.front().size()));
    CHECK(outcome.code == (budget["chosen"].is_null() ? 1 : 0));
    CHECK(std::filesystem::exists(b.run(name) / "model.safetensors") == !budget["chosen"].is_null());
    const std::string report = slurp(b.run(name) / "report.html");
    if (budget["chosen"].is_null()) {
      ++impossible;
      CHECK_THAT(outcome.output, contains("no network within the budget"));
      CHECK_THAT(report, contains("No network keeps within it"));
      continue;
    }
    CHECK_THAT(report, contains("the smallest that keeps within it"));
    const auto next = std::ranges::find(candidates, budget["chosen"].get<std::string>()) + 1;
    if (next == candidates.end()) continue;
    const auto trial = std::ranges::find_if(budget["tried"], [&](const json& t) { return t["target"] == *next; });
    REQUIRE(trial != budget["tried"].end());
    CHECK((*trial)["within"] == false);
    ++edges;
  }
  CHECK(edges >= 1);
  CHECK(impossible >= 1);
}

TEST_CASE("a search for a budget that is killed and resumed tries the same networks and ends with the same bytes", "[night]") {
  const Bench b;
  const std::vector<std::string> budget = {"--max-error-increase", "2", "--target", "flops=0.8,0.6,0.4", "--checkpoint-every", "2", "--epochs", "2"};
  const auto arguments = [&](const std::string& name) {
    auto all = b.arguments(name, {});
    all.erase(std::ranges::find(all, "--epochs"), std::ranges::find(all, "--epochs") + 2);
    all.insert(all.end(), budget.begin(), budget.end());
    return all;
  };
  const auto start = std::chrono::steady_clock::now();
  const int expected = run_hinge(arguments("whole")).code;
  const double length = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  auto first = arguments("killed");
  first.insert(first.end(), {"--conv-choices", b.at("whole/conv_choices.json")});
  int kills = 0, code = -1;
  for (int attempt = 0; attempt < 40 && code != expected; ++attempt) {
    const std::vector<std::string> again = std::filesystem::exists(b.run("killed") / "config.json") ? std::vector<std::string>{"compress", "--resume", b.at("killed")} : first;
    code = attempt < 5 ? run_and_signal(again, static_cast<int>(length * (0.25 + 0.1 * attempt)), SIGKILL, b.at("log")) : wait_for(start_hinge(again, b.at("log")));
    kills += code == 128 + SIGKILL;
    INFO(slurp(b.at("log")));
    CHECK((code == expected || code == 128 + SIGKILL));
  }
  CHECK(kills > 0);
  const json whole = b.result("whole"), killed = b.result("killed");
  REQUIRE(whole["budget"]["tried"].size() >= 2);
  // Resumed when all is done: the errors of all but the network tried last come from its file.
  CHECK(run_hinge({"compress", "--resume", b.at("whole")}).code == expected);
  CHECK(b.result("whole")["budget"] == whole["budget"]);
  CHECK(whole["budget"] == killed["budget"]);
  for (const json& network : whole["networks"]) {
    const std::string file = network["folder"].get<std::string>() + "/model.safetensors";
    CHECK(slurp(b.run("whole") / file) == slurp(b.run("killed") / file));
  }
}

TEST_CASE("a budget that goes with nothing else that was asked for is refused before anything is made") {
  const Bench b;
  const auto refused = [&](const std::vector<std::string>& more, const std::string& part) {
    const Outcome outcome = run_hinge(b.arguments("refused", more));
    INFO(outcome.output);
    CHECK(outcome.code == 2);
    CHECK_THAT(outcome.output, contains("--max-error-increase") && contains(part));
    CHECK_FALSE(std::filesystem::exists(b.at("refused")));
  };
  refused({"--max-error-increase", "nan"}, "nan");
  refused({"--max-error-increase", "1", "--target", "params=0.6"}, "flops=");
  refused({"--max-error-increase", "1", "--plan", "plan.json"}, "--plan");
  auto none = b.arguments("refused", {"--max-error-increase", "1"});
  *(std::ranges::find(none, "--held-out") + 1) = "0";
  const Outcome outcome = run_hinge(none);
  CHECK(outcome.code == 2);
  CHECK_THAT(outcome.output, contains("--held-out is 0"));
}
