// docs/json.md names every key that the program writes.
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "engine/io/json.h"
#include "tests/support/catch.h"
#include "tests/support/pictures.h"
#include "tests/tools/process.h"
#include "tests/tools/tiny_bench.h"

using namespace hinge;
using namespace hinge::testing;
using nlohmann::json;

namespace {

void collect(const json& value, std::set<std::string>& keys) {
  for (const auto& [key, inner] : value.items()) {
    if (value.is_object()) keys.insert(key);
    if (inner.is_structured() && key != "config") collect(inner, keys);  // of config the options are those of --help
  }
}

}  // namespace

TEST_CASE("every key of every JSON file that the program writes stands in docs/json.md", "[night]") {
  const std::string page = slurp(HINGE_SOURCE_DIR "/docs/json.md");
  std::set<std::string> named;
  const std::regex quoted("`([^`]+)`");
  for (std::sregex_iterator at(page.begin(), page.end(), quoted), end; at != end; ++at) named.insert((*at)[1]);
  const auto check = [&](const std::string& what, const json& value) {
    std::set<std::string> keys;
    collect(value, keys);
    CHECK(keys.size() >= 3);
    for (const std::string& key : keys) {
      INFO(what << ": " << key);
      CHECK(named.contains(key));
    }
  };
  const TinyBench b(30);
  const auto run = [&](std::vector<std::string> words) {
    const Outcome outcome = run_hinge(words);
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
  };
  const std::vector<std::string> data = {"--data", "cifar10", "--data-dir", b.data};
  const auto with = [&](std::vector<std::string> words, const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  const std::vector<std::string> compress = {"compress", "--weights", b.weights, "--search-epochs", "1", "--epochs", "1", "--held-out", "30", "--batch", "32"};
  run(with(with(compress, data), {"--target", "flops=0.6,0.5", "--max-error-increase", "100", "--out", b.at("run")}));
  check("result.json of compress", io::read_json(b.at("run/result.json")));
  check("plan.json", io::read_json(b.at("run/plan.json")));
  check("groups.json", io::read_json(b.at("run/groups.json")));
  check("environment.json", io::read_json(b.at("run/environment.json")));
  std::istringstream lines(slurp(b.at("run/metrics.jsonl")));
  for (std::string line; std::getline(lines, line);) check("metrics.jsonl", json::parse(line));
  run(with(with({"finetune", "--weights", b.weights, "--epochs", "1", "--held-out", "30", "--batch", "32"}, data), {"--out", b.at("tuned")}));
  check("result.json of finetune", io::read_json(b.at("tuned/result.json")));
  run(with({"eval", "--weights", b.weights, "--json", b.at("eval.json")}, data));
  check("eval", io::read_json(b.at("eval.json")));
  run({"info", "--weights", b.weights, "--json", b.at("info.json")});
  check("info", io::read_json(b.at("info.json")));
  run({"time", "--weights", b.weights, "--batch", "16", "--method", "images", "--rounds", "1", "--layers", "--json", b.at("time.json")});
  check("time", io::read_json(b.at("time.json")));
  run({"prox", b.weights, "--tensor", "linear.weight", "--step", "0.01", "--json", b.at("prox.json")});
  check("prox", io::read_json(b.at("prox.json")));
  write_small_folder(b.at("pictures"), 2);
  run({"pack", "--data-dir", b.at("pictures"), "--out", b.at("shards"), "--json", b.at("pack.json")});
  check("pack", io::read_json(b.at("pack.json")));
  check("shards.json", io::read_json(b.at("shards/shards.json")));
}
