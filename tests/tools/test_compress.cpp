// hinge compress and hinge explain from outside: every way to ask for a smaller network, on a network and data so small
// that a run takes a moment.
#include <nlohmann/json.hpp>
#include <set>

#include "compress/controls.h"
#include "compress/regularizer.h"
#include "engine/core/error.h"
#include "engine/graph/cost.h"
#include "engine/nn/model_file.h"
#include "tests/support/catch.h"
#include "tests/support/tiny.h"
#include "tests/tools/process.h"
#include "tests/tools/tiny_bench.h"

using namespace hinge;
using namespace hinge::testing;
using nlohmann::json;

namespace {

struct Bench : TinyBench {
  Bench() : TinyBench(12) {}
  std::filesystem::path at(const std::string& name) const { return scratch.folder() / name; }

  std::vector<std::string> arguments(const std::string& run, const std::vector<std::string>& more) const {
    std::vector<std::string> all = {"compress", "--weights", weights, "--data", "cifar10", "--data-dir", data, "--held-out", "12", "--batch", "12",
                                    "--epochs", "1", "--search-epochs", "1", "--check-every", "2", "--distill", "0", "--seed", "3", "--threads", "1", "--out", at(run).string()};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  // The result of a run that must succeed.
  json result(const std::string& run, const std::vector<std::string>& more) const {
    const Outcome outcome = run_hinge(arguments(run, more));
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
    return read(at(run) / "result.json");
  }
  static json read(const std::filesystem::path& file) { return json::parse(slurp(file)); }

  void refused(const std::vector<std::string>& more, int code, const std::vector<std::string>& parts) const {
    const Outcome outcome = run_hinge(arguments("refused", more));
    INFO(outcome.output);
    CHECK(outcome.code == code);
    for (const std::string& part : parts) CHECK_THAT(outcome.output, contains(part));
    CHECK_FALSE(std::filesystem::exists(at("refused")));
  }
};

std::set<int> numbers(const json& list) {
  const auto values = list.get<std::vector<int>>();
  return {values.begin(), values.end()};
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("every registered regulariser compresses a network, found by its name alone", "[night]") {
  const Bench b;
  for (const auto& [name, entry] : compress::regularizers()) {
    INFO(name);
    std::string run = name;
    std::ranges::replace(run, '/', '_');
    const json result = b.result(run, {"--regularizer", name, "--target", "flops=0.6"});
    CHECK(result["flops_ratio"].get<double>() <= 0.6);
    CHECK(result["proof"]["relative"].get<double>() <= 1e-4);
    CHECK(result["config"]["options"]["regularizer"] == name);
  }
}

TEST_CASE("every control takes the place of the search under the same budget, and scratch takes a plan's network", "[night]") {
  const Bench b;
  for (const std::string& method : compress::control_names()) {
    INFO(method);
    const json result = b.result(method, {"--method", method, "--target", "flops=0.6"});
    CHECK(result["method"] == method);
    CHECK(result["search_epochs"] == 0);
    CHECK((result["flops_ratio"].get<double>() <= 0.6 && result["flops_ratio"].get<double>() > 0.5));
    CHECK(result["mode"] == (method == "l1-norm" || method == "fpgm" ? "prune" : "auto"));
    CHECK(result["proof"]["relative"].get<double>() <= 1e-4);
  }
  const std::string plan = (b.at("svd") / "plan.json").string();
  const json scratch = b.result("scratch", {"--method", "scratch", "--plan", plan, "--target", "flops=0.6"});
  CHECK(scratch["after"]["macs"] == Bench::read(b.at("svd") / "result.json")["after"]["macs"]);
  b.refused({"--method", "scratch"}, 2, {"--plan"});
  b.refused({"--method", "fpmg"}, 2, {"fpmg", "did you mean 'fpgm'"});
  b.refused({"--method", "fpgm", "--mode", "decompose"}, 2, {"--mode prune"});
}

TEST_CASE("parameters, bytes and conjunctions are met, each by itself and all at once", "[night]") {
  const Bench b;
  const json dense = b.result("params", {"--method", "svd", "--target", "params=0.6"})["plan"]["before"];
  const auto bytes = dense["bytes"].get<double>();
  const auto share = [&](const json& result, const char* what) {
    return result["plan"]["predicted_after"][what].get<double>() / dense[what].get<double>();
  };
  const json params = Bench::read(b.at("params") / "result.json");
  CHECK((params["parameters_ratio"].get<double>() <= 0.6 && params["parameters_ratio"].get<double>() > 0.55));
  const json size = b.result("bytes", {"--method", "svd", "--target", "bytes=200kB"});
  CHECK(size["plan"]["predicted_after"]["bytes"].get<std::int64_t>() <= 200'000);
  CHECK(size["plan"]["predicted_after"]["bytes"].get<std::int64_t>() > 190'000);
  CHECK(std::filesystem::file_size(b.at("bytes") / "model.safetensors") > 190'000u);
  // One of three binds: each in turn.
  struct All {
    const char* target;
    double macs, parameters, bytes;
  };
  for (const All& all : {All{"flops=0.5,params=0.99,bytes=10MB", 0.5, 0.99, 1.0}, {"flops=0.99,params=0.6,bytes=10MB", 0.99, 0.6, 1.0}, {"flops=0.99,params=0.99,bytes=200kB", 0.99, 0.99, 200'000.0 / bytes}}) {
    INFO(all.target);
    const json result = b.result(fmt::format("all-{}-{}", all.macs, all.parameters), {"--method", "svd", "--target", all.target});
    CHECK(share(result, "macs") <= all.macs);
    CHECK(share(result, "parameters") <= all.parameters);
    CHECK(share(result, "bytes") <= all.bytes);
    CHECK((share(result, "macs") > all.macs - 0.05 || share(result, "parameters") > all.parameters - 0.05 || share(result, "bytes") > all.bytes - 0.05));
  }
}

TEST_CASE("a target out of reach is refused before training with what can be reached, and that is true") {
  const Bench b;
  b.refused({"--target", "params=0.01"}, 2, {"params=0.01", "can't be reached", "of its parameters"});
  b.refused({"--target", "bytes=1kB"}, 2, {"bytes=1000", "can't be reached", " bytes"});
  b.refused({"--target", "flops=0.9,params=0.01"}, 2, {"flops=0.9,params=0.01", "can't be reached"});
  const Outcome outcome = run_hinge(b.arguments("refused", {"--target", "flops=0.001"}));
  REQUIRE(outcome.code == 2);
  const std::size_t at = outcome.output.find("can keep ");
  REQUIRE(at != std::string::npos);
  const double least = std::stod(outcome.output.substr(at + 9));
  CHECK((least > 0.001 && least < 1.0));
  b.refused({"--target", fmt::format("flops={}", least - 2e-4)}, 2, {"can't be reached"});
  const json result = b.result("least", {"--method", "svd", "--target", fmt::format("flops={}", least + 2e-4)});
  CHECK((std::abs(result["flops_ratio"].get<double>() - least) <= 2e-4));
}

TEST_CASE("a target in time is met by measurement or refused with the range, and its layers' times are kept") {
  const Bench b;
  const std::string times = b.at("times.json").string();
  b.refused({"--target", "latency=0.001", "--layer-times", times}, 2, {"latency=0.001", "can't be reached", "of its time"});
  REQUIRE(std::filesystem::exists(times));
  b.refused({"--target", "latency=3parsecs", "--layer-times", times}, 2, {"latency=3parsecs", "unknown unit 'parsecs'"});
  b.refused({"--target", "latency=0.5,latency=3ms", "--layer-times", times}, 2, {"latency is given twice"});
  // On a busy machine a measurement can come out so that nothing saves time; it is then made again.
  Outcome outcome;
  for (int attempt = 0; attempt < 4; ++attempt) {
    outcome = run_hinge(b.arguments("latency", {"--target", "latency=0.9", "--latency-batch", "32", "--layer-times", times, "--method", "svd"}));
    // A machine that is busy at the wrong moment makes the whole network look fast enough.
    if (outcome.code == 0 && Bench::read(b.at("latency") / "result.json").at("flops_ratio") < 1.0) break;
    std::filesystem::remove(times);
    std::filesystem::remove_all(b.at("latency"));
  }
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  CHECK(outcome.output.find("latency: predicted ") != std::string::npos);
  const nlohmann::json result = Bench::read(b.at("latency") / "result.json");
  CHECK(result.at("timed_batch") == 32);
  CHECK(result.at("after").at("macs") < result.at("before").at("macs"));
  CHECK(result.at("plan").at("predicted_after").at("seconds") < result.at("plan").at("before").at("seconds"));
  CHECK(std::filesystem::exists(b.at("latency") / "layer_times.json"));
}

TEST_CASE("a teacher from a file is learnt from, and one that is asked nothing or doesn't fit is refused") {
  const Bench b;
  write_network(b.at("teacher.safetensors"), tiny_network(7));
  const auto arguments = [&](const std::string& run, const std::vector<std::string>& more) {
    std::vector<std::string> words = {"compress", "--weights", b.weights, "--data", "cifar10", "--data-dir", b.data, "--held-out", "20", "--batch", "16", "--search-epochs", "1", "--epochs", "1", "--target", "flops=0.6", "--out", b.at(run).string()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  const Outcome own = run_hinge(arguments("own", {})), given = run_hinge(arguments("given", {"--teacher", b.at("teacher.safetensors").string(), "--conv-choices", b.at("own/conv_choices.json").string()}));
  INFO(own.output << given.output);
  REQUIRE(own.code == 0);
  REQUIRE(given.code == 0);
  CHECK(given.output.find("teacher.safetensors has a held-out error of") != std::string::npos);
  CHECK(slurp(b.at("own/surgery.safetensors")) == slurp(b.at("given/surgery.safetensors")));  // the search asked nobody
  CHECK(slurp(b.at("own/model.safetensors")) != slurp(b.at("given/model.safetensors")));
  // The network itself as its teacher is what happens without one.
  const Outcome self = run_hinge(arguments("self", {"--teacher", b.weights, "--conv-choices", b.at("own/conv_choices.json").string()}));
  REQUIRE(self.code == 0);
  CHECK(slurp(b.at("own/model.safetensors")) == slurp(b.at("self/model.safetensors")));
  CHECK(run_hinge(arguments("no", {"--teacher", b.weights, "--distill", "0"})).code == 2);
  CHECK(run_hinge(arguments("no", {"--teacher-model", "resnet20"})).code == 2);
  const Outcome missing = run_hinge(arguments("no", {"--teacher", b.at("nowhere.safetensors").string()}));
  CHECK(missing.code != 0);
  CHECK(missing.output.find("nowhere.safetensors") != std::string::npos);
  CHECK(!std::filesystem::exists(b.at("no")));
}

TEST_CASE("hinge time compares networks and names their layers") {
  const Bench b;
  const std::string file = b.at("time.json").string();
  const Outcome outcome = run_hinge({"time", "--model", "resnet8", "--batch", "1,17", "--method", "images", "--rounds", "2", "--layers", "--json", file});
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  const nlohmann::json times = Bench::read(file).at("networks").at(0).at("times");
  REQUIRE(times.size() == 2);
  for (const nlohmann::json& time : times) {
    CHECK(time.at("milliseconds") > 0.0);
    CHECK(time.at("fastest_milliseconds") <= time.at("milliseconds"));
    std::int64_t macs = 0;
    for (const auto& layer : time.at("layers")) macs += layer.at("macs").get<std::int64_t>();
    CHECK(macs == Bench::read(file).at("networks").at(0).at("macs").get<std::int64_t>());  // each multiply-add in one step
    CHECK(time.at("layers").size() == 13);                                                 // 7 convolutions, 2 shortcuts and their additions, pooling, linear layer: all else is fused
  }
  CHECK(outcome.output.find("layer1.0.conv2 + add + relu") != std::string::npos);
  const Outcome wrong = run_hinge({"time", "--model", "resnet8", "--method", "image"});
  CHECK(wrong.code == 2);
  CHECK(wrong.output.find("did you mean 'images'?") != std::string::npos);
  CHECK(run_hinge({"time"}).code == 2);
}

TEST_CASE("excluded layers stay as they are, and no layer falls below the minimum share") {
  const Bench b;
  b.result("run", {"--mode", "both", "--exclude", "layer1.*,layer3.0.conv2", "--minimum-share", "0.5", "--target", "flops=0.75"});
  const json groups = Bench::read(b.at("run/groups.json"));
  int at_minimum = 0;
  for (const json& set : groups["sets"]) {
    const std::string layer = set["layer"];
    INFO(layer);
    CHECK_FALSE((layer.starts_with("layer1.") || layer == "layer3.0.conv2"));
    CHECK(2 * set["kept"].size() >= set["scores"].size());
    at_minimum += 2 * set["kept"].size() == set["scores"].size();
  }
  CHECK(at_minimum > 0);  // the bound bound
  std::set<std::string> excluded;
  for (const json& refusal : groups["refused"]) {
    if (refusal["reason"] == "excluded") excluded.insert(refusal["layer"].get<std::string>());
  }
  CHECK(excluded == std::set<std::string>{"layer1.0.conv1", "layer1.0.conv2", "layer3.0.conv2"});
  const ModelFile model = read_model_file(b.at("run/model.safetensors"));
  for (const std::string& layer : excluded) CHECK(model.tensors.at(layer + ".weight").dim(0) == (layer.starts_with("layer1") ? 16 : 64));
  b.refused({"--exclude", "layer9.*"}, 2, {"layer9.*", "no layer"});
  b.refused({"--exclude", "*"}, 2, {"nothing can be removed", "excluded"});
}

TEST_CASE("several targets make nested networks from one search, each with a result and a model that loads") {
  const Bench b;
  for (const char* mode : {"decompose", "prune"}) {
    INFO(mode);
    const std::filesystem::path run = b.at(mode);
    const json result = b.result(mode, {"--mode", mode, "--target", "flops=0.8,0.5,0.35", "--minimum-share", "0.1"});
    REQUIRE(result["networks"].size() == 3);
    json larger;
    double before = 1.0;
    for (const json& network : result["networks"]) {
      const std::string folder = network["folder"];
      const double wanted = std::stod(folder.substr(folder.find('-') + 1)), ratio = network["flops_ratio"].get<double>();
      INFO(folder);
      CHECK((ratio <= wanted && ratio < before));
      CHECK(network["proof"]["relative"].get<double>() <= 1e-4);
      before = ratio;
      const std::string file = (run / folder / "model.safetensors").string();
      Network smaller = network_from(read_model_file(file), std::nullopt, file);
      CHECK(cost_of(smaller.graph()).macs == network["after"]["macs"].get<std::int64_t>());
      CHECK(run_hinge({"eval", "--weights", file, "--data", "cifar10", "--data-dir", b.data, "--threads", "1"}).code == 0);
      const json plan = Bench::read(run / folder / "plan.json")["plan"];
      CHECK(plan == network["plan"]);
      CHECK(Bench::read(run / folder / "result.json") == network);
      if (!larger.is_null()) {
        int fewer = 0;
        for (std::size_t s = 0; s < plan["sets"].size(); ++s) {
          INFO(plan["sets"][s]["set"].get<std::string>());
          const std::set<int> now = numbers(plan["sets"][s]["kept"]), then = numbers(larger["sets"][s]["kept"]);
          CHECK(std::ranges::includes(then, now));
          fewer += now.size() < then.size();
        }
        CHECK(fewer > 0);
      }
      larger = plan;
    }
    // Explained one by one.
    const Outcome whole = run_hinge({"explain", run.string()});
    CHECK(whole.code == 2);
    CHECK_THAT(whole.output, contains("flops-0.5") && contains("flops-0.35"));
    CHECK(run_hinge({"explain", (run / "flops-0.5").string()}).code == 0);
  }
  b.refused({"--target", "flops=0.8,0.5,params=0.5"}, 2, {"several flops"});
  b.refused({"--target", "flops=0.5,0.5"}, 2, {"twice"});
}

TEST_CASE("explain says of each layer what became of it, with norms, scores, the cost of a group and what bound it") {
  const Bench b;
  b.result("run", {"--mode", "both", "--exclude", "layer2.0.conv2", "--target", "flops=0.5"});
  const std::string run = b.at("run").string();
  const json groups = Bench::read(b.at("run/groups.json"));
  const Outcome all = run_hinge({"explain", run});
  INFO(all.output);
  REQUIRE(all.code == 0);
  CHECK_THAT(all.output, contains("layer2.0.conv2: untouched: excluded"));
  CHECK_THAT(all.output, contains("conv1: untouched: it reads the network's input"));
  std::set<std::string> verdicts;
  for (const json& set : groups["sets"]) {
    const std::string name = set["set"], bound = set["bound"];
    CHECK_THAT(all.output, contains(name));
    const Outcome one = run_hinge({"explain", run, name});
    INFO(one.output);
    REQUIRE(one.code == 0);
    const std::size_t kept = set["kept"].size(), of = set["scores"].size();
    const std::string verdict = bound == "merged" || kept == of ? "keep" : set["kind"] == "rank" ? "decompose"
                                                                                                 : "prune";
    verdicts.insert(verdict);
    CHECK_THAT(one.output, contains(fmt::format("{}: {}: {} of {} ", name, verdict, kept, of)));
    CHECK(count_of(one.output, "  kept\n") == kept);
    CHECK(count_of(one.output, "  removed\n") == of - kept);
    CHECK_THAT(one.output, contains(fmt::format("would save {} multiply-adds", set["macs_per_group"].get<std::int64_t>())));
    CHECK_THAT(one.output, contains(bound == "minimum share" ? "--minimum-share" : bound == "merged" ? "merged"
                                                                                                     : "threshold"));
    const auto norms = set["norms"].get<std::vector<double>>();
    REQUIRE(norms.size() == of);
    for (double norm : norms) CHECK_THAT(one.output, contains(fmt::format("{:.4g}", norm)));
  }
  CHECK(verdicts.contains("decompose"));
  CHECK(verdicts.contains("prune"));
  // A layer's name gives all its sets.
  const Outcome layer = run_hinge({"explain", run, "layer3.0.conv1"});
  CHECK_THAT(layer.output, contains("layer3.0.conv1 rank:") && contains("layer3.0.conv1 channels:"));
}

TEST_CASE("explain refuses what is no run and names the nearest layer") {
  const Bench b;
  b.result("run", {"--method", "svd", "--target", "flops=0.6"});
  const auto refused = [](const std::vector<std::string>& arguments, const std::vector<std::string>& parts) {
    const Outcome outcome = run_hinge(arguments);
    INFO(outcome.output);
    CHECK(outcome.code == 2);
    for (const std::string& part : parts) CHECK_THAT(outcome.output, contains(part));
  };
  refused({"explain", b.at("nowhere").string()}, {"nowhere", "groups.json"});
  refused({"explain", b.data}, {"groups.json"});
  refused({"explain", b.at("run").string(), "layer1.0.conv7"}, {"layer1.0.conv7", "known: ", "did you mean 'layer1.0.conv"});
  refused({"explain"}, {"run"});

  // An older version's report, without norms: named, not shown in part.
  json report = json::parse(slurp(b.at("run/groups.json")));
  for (json& set : report["sets"]) set.erase("norms");
  std::ofstream(b.at("run/groups.json")) << report.dump();
  const Outcome old = run_hinge({"explain", b.at("run").string(), "layer1.0.conv1"});
  CHECK(old.code == 1);
  CHECK_THAT(old.output, contains("groups.json: expected the report"));
  CHECK_THAT(old.output, contains("norms"));
}
