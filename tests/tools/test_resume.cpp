// A run that is killed at any moment and resumed ends with the same bytes as one that is not.
#include <nlohmann/json.hpp>

#include "engine/io/checkpoint.h"
#include "engine/nn/model_file.h"
#include "kernels/philox.h"
#include "tests/support/catch.h"
#include "tests/support/reference.h"
#include "tests/support/tiny.h"
#include "tests/tools/essence.h"
#include "tests/tools/tiny_bench.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

struct Bench : TinyBench {
  Bench() : TinyBench(30) {}
  std::filesystem::path at(const std::string& name) const { return scratch.folder() / name; }

  std::vector<std::string> arguments(const std::string& command, const std::string& run) const {
    std::vector<std::string> result = {command, "--data", "cifar10", "--data-dir", data, "--held-out", "30", "--batch", "16",
                                       "--epochs", "2", "--checkpoint-every", "2", "--seed", "3", "--out", at(run).string()};
    const auto add = [&](std::initializer_list<const char*> more) { result.insert(result.end(), more.begin(), more.end()); };
    if (command == "train") add({"--model", "resnet8"});
    if (command != "train") add({"--weights", weights.c_str()});
    if (command == "finetune") add({"--ema", "0.9"});
    if (command == "compress") add({"--search-epochs", "2", "--check-every", "3", "--target", "flops=0.6"});
    return result;
  }
};

// Kills at random moments until the run ends by itself.
void check_killed_equals_whole(const std::string& command, int kills, int signal) {
  const Bench b;
  const auto start = std::chrono::steady_clock::now();
  const Outcome whole = run_hinge(b.arguments(command, "whole"));
  const std::chrono::duration<double, std::milli> length = std::chrono::steady_clock::now() - start;
  INFO(whole.output);
  REQUIRE(whole.code == 0);
  // Same record, same bytes: the choice of convolutions must not differ by a measurement's chance.
  auto first = b.arguments(command, "killed");
  first.insert(first.end(), {"--conv-choices", b.at("whole/conv_choices.json").string()});
  int happened = 0, code = -1;
  for (int attempt = 0; attempt < 60 && code != 0; ++attempt) {
    const bool begun = std::filesystem::exists(b.at("killed/config.json"));
    const std::vector<std::string> arguments = begun ? std::vector<std::string>{command, "--resume", b.at("killed").string()} : first;
    if (happened < kills) {
      const auto words = random_words(11, RandomUse::kTest, static_cast<std::uint64_t>(signal), static_cast<std::uint64_t>(attempt));
      code = run_and_signal(arguments, static_cast<int>(length.count() * (0.03 + 0.4 * static_cast<double>(uniform(words.word[0])))), signal, b.at("log"));
      happened += code == 128 + signal || code == 130;
    } else {
      code = wait_for(start_hinge(arguments, b.at("log")));
    }
    INFO(slurp(b.at("log")));
    CHECK((code == 0 || code == 128 + signal || code == 130));
  }
  REQUIRE(code == 0);
  CHECK(happened >= 1);
  CHECK(essence(b.at("killed")) == essence(b.at("whole")));
}

}  // namespace

// Training and compression, in any phase: test_kills.cpp.
TEST_CASE("fine-tuning that is killed and resumed ends with the same bytes") { check_killed_equals_whole("finetune", 3, SIGKILL); }
TEST_CASE("Ctrl-C saves, says so with exit code 130, and the resumed run ends with the same bytes") { check_killed_equals_whole("finetune", 3, SIGINT); }

TEST_CASE("with --ema the network at the end is the average of the weights, and training goes on as without") {
  const Bench b;
  const auto run = [&](const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"finetune", "--data", "cifar10", "--data-dir", b.data, "--weights", b.weights, "--held-out", "0", "--batch", "16", "--epochs", "2", "--out", b.at(name).string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run_hinge(arguments);
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
    return *io::load_checkpoint(b.at(name), "checkpoint");
  };
  const io::Checkpoint plain = run("plain", {}), averaged = run("averaged", {"--ema", "0.9", "--conv-choices", b.at("plain/conv_choices.json").string()});
  const auto values_of = [&](const std::string& name) {
    const std::string file = b.at(name + "/model.safetensors").string();
    return network_from(read_model_file(file), std::nullopt, file).values();
  };
  int different = 0;
  for (const auto& [name, value] : values_of("averaged")) {
    INFO(name);
    CHECK(same_bytes(value, averaged.tensors.at("average/" + name)));
    CHECK(same_bytes(averaged.tensors.at("value/" + name), plain.tensors.at("value/" + name)));
    different += !same_bytes(value, plain.tensors.at("value/" + name));
  }
  CHECK(different > 5);
  CHECK(run_hinge({"train", "--model", "resnet8", "--data", "cifar10", "--data-dir", b.data, "--ema", "1", "--out", b.at("refused").string()}).code == 2);
}

TEST_CASE("a compressed network describes itself: it is scored with no flag that says what it is") {
  const Bench b;
  const Outcome outcome = run_hinge(b.arguments("compress", "run"));
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  const auto result = nlohmann::json::parse(slurp(b.at("run/result.json")));
  CHECK(result["flops_ratio"].get<double>() <= 0.6);
  CHECK(result["proof"]["relative"].get<double>() <= 1e-4);
  const Outcome scored = run_hinge({"eval", "--weights", b.at("run/model.safetensors").string(), "--data", "cifar10", "--data-dir", b.data, "--json", b.at("e.json").string()});
  INFO(scored.output);
  REQUIRE(scored.code == 0);
  const auto json = nlohmann::json::parse(slurp(b.at("e.json")));
  CHECK(json["top1_error"] == result["after"]["top1_error"]);
  CHECK(json["macs"] == result["after"]["macs"]);
}

TEST_CASE("a run folder in use or already used is refused, and changed data too") {
  const Bench b;
  REQUIRE(run_hinge(b.arguments("train", "run")).code == 0);
  const Outcome again = run_hinge(b.arguments("train", "run"));
  CHECK(again.code == 2);
  CHECK_THAT(again.output, contains("--resume"));
  const Outcome mixed = run_hinge({"train", "--resume", b.at("run").string(), "--lr", "0.5"});
  CHECK(mixed.code == 2);
  CHECK_THAT(mixed.output, contains("--lr"));
  CHECK(run_hinge({"compress", "--resume", b.at("run").string()}).code == 2);
  CHECK(run_hinge({"train", "--resume", b.at("nowhere").string()}).code == 2);
  write_tiny_cifar(b.data, 31);
  const Outcome changed = run_hinge({"train", "--resume", b.at("run").string()});
  CHECK(changed.code == 1);
  CHECK_THAT(changed.output, contains("data have changed"));
}

TEST_CASE("weights that changed since a run began are refused by their name, and a run that began before fingerprints were kept goes on") {
  const Bench b;
  REQUIRE(run_hinge(b.arguments("finetune", "run")).code == 0);
  CHECK(nlohmann::json::parse(slurp(b.at("run/inputs.json"))).size() == 2);
  const std::string before = slurp(b.weights);
  write_network(b.weights, tiny_network(2));
  const Outcome changed = run_hinge({"finetune", "--resume", b.at("run").string()});
  CHECK(changed.code == 1);
  CHECK_THAT(changed.output, contains(b.weights + ", the file of --weights, has changed since this run began"));
  std::ofstream(b.weights, std::ios::binary) << before;
  CHECK(run_hinge({"finetune", "--resume", b.at("run").string()}).code == 0);
  std::filesystem::remove(b.at("run/inputs.json"));
  CHECK(run_hinge({"finetune", "--resume", b.at("run").string()}).code == 0);
  CHECK(std::filesystem::exists(b.at("run/inputs.json")));
}

TEST_CASE("a second process in a run's folder is refused with the id of the first, which is not disturbed") {
  const Bench b;
  auto arguments = b.arguments("train", "run");
  arguments.insert(arguments.end(), {"--epochs", "500"});
  std::erase(arguments, "2");  // --epochs 2 and --checkpoint-every 2
  arguments.erase(std::ranges::find(arguments, "--epochs"));
  arguments.erase(std::ranges::find(arguments, "--checkpoint-every"));
  const pid_t first = start_hinge(arguments, b.at("log"));
  REQUIRE(wait_until(first, [&] { return std::filesystem::exists(b.at("run/checkpoint.safetensors")); }));
  const std::string expected = fmt::format("{} is in use by process {}", b.at("run").string(), first);
  for (const auto& second : {std::vector<std::string>{"train", "--resume", b.at("run").string()}, b.arguments("train", "run")}) {
    const Outcome outcome = run_hinge(second);
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.output, contains(expected));
  }
  kill(first, SIGTERM);
  CHECK(wait_for(first) == 130);
  // A lock whose process died is nobody's, whatever its file says.
  for (const auto& [signal, code] : {std::pair{SIGKILL, 128 + SIGKILL}, std::pair{SIGINT, 130}}) {
    const pid_t next = start_hinge({"train", "--resume", b.at("run").string()}, b.at("log"));
    CHECK(wait_until(next, [&] { return has_lock(next, b.at("run")); }));
    kill(next, signal);
    CHECK(wait_for(next) == code);
    CHECK(has_lock(next, b.at("run")) == (signal == SIGKILL));
  }
}
