// The whole program with the emulated GPU as cuda:0: search, surgery with proof, fine-tuning, and scoring.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/io/safetensors.h"
#include "engine/nn/model_file.h"
#include "tests/support/catch.h"
#include "tests/support/tiny.h"
#include "tests/tools/process.h"
#include "tests/tools/ranks.h"
#include "tests/tools/tiny_bench.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

struct Bench : TinyBench {
  Bench() : TinyBench(4) {}
  nlohmann::json result(const std::string& run) const { return nlohmann::json::parse(slurp(at(run) + "/result.json")); }

  std::vector<std::string> compress_words(const std::string& run, const std::string& device, const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"compress", "--weights", weights, "--data", "cifar10", "--data-dir", data, "--held-out", "4", "--batch", "4",
                                          "--epochs", "1", "--search-epochs", "1", "--check-every", "2", "--target", "flops=0.6", "--seed", "3",
                                          "--device", device, "--out", at(run)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  Outcome compress(const std::string& run, const std::string& device, const std::vector<std::string>& more = {}) const { return run_hinge(compress_words(run, device, more)); }
};

}  // namespace

TEST_CASE("hinge compress runs on the emulated GPU and its proof holds") {
  const Bench b;
  const Outcome outcome = b.compress("gpu", "cuda:0");
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  const nlohmann::json result = b.result("gpu");
  CHECK(result.at("environment").at("device") == "cuda:0, emulated GPU, fp32");
  CHECK(result.at("flops_ratio").get<double>() <= 0.6);
  CHECK(result.at("proof").at("relative").get<double>() <= 1e-4);
  // The file it leaves scores the same on both devices.
  std::vector<nlohmann::json> scores;
  for (const char* device : {"cpu", "auto"}) {
    const Outcome scored = run_hinge({"eval", "--weights", b.at("gpu") + "/model.safetensors", "--data", "cifar10", "--data-dir", b.data, "--device", device, "--json", b.at("score.json")});
    INFO(scored.output);
    REQUIRE(scored.code == 0);
    scores.push_back(nlohmann::json::parse(slurp(b.at("score.json"))));
  }
  CHECK(scores[0].at("device") == "cpu");
  CHECK(scores[1].at("device") == "cuda:0, emulated GPU, fp32");
  CHECK(scores[0].at("top1_error") == scores[1].at("top1_error"));
  const double first = scores[0].at("cross_entropy").get<double>(), second = scores[1].at("cross_entropy").get<double>();
  CHECK(std::abs(first - second) <= 1e-4 * std::abs(first));
}

TEST_CASE("hinge compress in bfloat16 cuts and fine-tunes, and leaves floats that score the same on the CPU") {
  const Bench b;
  const Outcome outcome = b.compress("run", "cuda:0", {"--precision", "bf16", "--search-distill", "0.4"});
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  const nlohmann::json result = b.result("run");
  CHECK(result.at("environment").at("device") == "cuda:0, emulated GPU, bf16");
  CHECK(result.at("flops_ratio").get<double>() <= 0.6);
  CHECK(result.at("proof").at("relative").get<double>() <= 1e-4);
  const Outcome floats = b.compress("floats", "cuda:0", {"--search-distill", "0.4", "--conv-choices", b.at("run") + "/conv_choices.json"});
  INFO(floats.output);
  REQUIRE(floats.code == 0);
  CHECK(slurp(b.at("floats") + "/model.safetensors") != slurp(b.at("run") + "/model.safetensors"));
  const io::SafetensorsFile file(b.at("run") + "/model.safetensors");
  for (const auto& [name, tensor] : file.tensors()) CHECK(tensor.dtype == DType::kFloat32);
  const Outcome scored = run_hinge({"eval", "--weights", b.at("run") + "/model.safetensors", "--data", "cifar10", "--data-dir", b.data, "--device", "cpu", "--json", b.at("score.json")});
  INFO(scored.output);
  REQUIRE(scored.code == 0);
  CHECK(nlohmann::json::parse(slurp(b.at("score.json"))).at("top1_error") == result.at("after").at("top1_error"));
  // What only a GPU does, and only in training, is refused elsewhere; a run can go on in another precision.
  const Outcome on_cpu = b.compress("cpu", "cpu", {"--precision", "bf16"});
  CHECK(on_cpu.code == 2);
  CHECK_THAT(on_cpu.output, contains("--precision bf16 needs a GPU; the CPU trains in fp32"));
  CHECK_FALSE(std::filesystem::exists(b.at("cpu")));
  const Outcome scoring = run_hinge({"eval", "--weights", b.at("run") + "/model.safetensors", "--precision", "bf16"});
  CHECK(scoring.code == 2);
  CHECK_THAT(scoring.output, contains("unknown precision 'bf16' (known: fp32, tf32)"));
  std::filesystem::remove(b.at("run") + "/result.json");
  const Outcome resumed = run_hinge({"compress", "--resume", b.at("run"), "--device", "cpu", "--precision", "fp32"});
  INFO(resumed.output);
  CHECK(resumed.code == 0);
  CHECK(b.result("run").at("environment").at("device") == "cpu");
}

TEST_CASE("a target in time is steered by what the emulated GPU takes, and the result tells its layers apart") {
  const Bench b;
  const std::string times = b.at("times.json");
  std::vector<std::string> words = b.compress_words("run", "cuda:0", {"--mode", "prune", "--method", "svd", "--latency-batch", "2", "--layer-times", times});
  *std::find(words.begin(), words.end(), "flops=0.6") = "latency=0.9";
  // Another process on the machine may slow one measurement down and not the next: twice more, if nothing had to go.
  Outcome outcome;
  for (int attempt = 0; attempt < 3; ++attempt) {
    outcome = run_hinge(words);
    if (outcome.code == 0 && b.result("run").at("after").at("macs") < b.result("run").at("before").at("macs")) break;
    if (attempt < 2) std::filesystem::remove_all(b.at("run")), std::filesystem::remove(times);
  }
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  CHECK_THAT(outcome.output, contains("times of layers measured for calls of 2") && contains("latency: predicted "));
  const nlohmann::json result = b.result("run");
  CHECK(result.at("environment").at("device") == "cuda:0, emulated GPU, fp32");
  CHECK(result.at("timed_batch") == 2);
  CHECK(result.at("after").at("macs") < result.at("before").at("macs"));
  // The target is held against whole calls; layers alone may say otherwise on a busy machine, but not that nothing went.
  CHECK(result.at("plan").at("predicted_after").at("seconds") < result.at("plan").at("before").at("seconds"));
  CHECK(result.at("layer_times").at("method") == "library");
  std::set<std::string> layers;
  for (const nlohmann::json& layer : result.at("layer_times").at("layers")) {
    layers.insert(layer.at("layer"));
    CHECK(layer.at("before").get<double>() > 0.0);
  }
  CHECK(layers.contains("layer1.0.conv1"));
  // The plan was held against calls on the emulated GPU, which takes many times what the CPU would: those of the result.
  const std::size_t at = outcome.output.find("% of the time of a call of 2 (");
  REQUIRE(at != std::string::npos);
  const double settled = std::stod(outcome.output.substr(at + 30)), after = 2.0 * result.at("after").at("milliseconds_per_image").get<double>();
  INFO(settled << " and " << after << " ms");
  CHECK(settled > 0.2 * after);
  CHECK(settled < 5.0 * after);
  // Every time was the GPU's, in the user's file and in the run's.
  for (const std::string& file : {times, b.at("run") + "/layer_times.json"}) {
    const nlohmann::json table = nlohmann::json::parse(slurp(file));
    CHECK(table.size() == 2);
    for (const auto& [section, entry] : table.items()) CHECK((section == "calls" || section.starts_with("GPU, ")));
  }
  const Outcome timed = run_hinge({"time", "--weights", b.at("run") + "/model.safetensors", "--device", "cuda:0", "--batch", "2", "--rounds", "2", "--layers"});
  INFO(timed.output);
  REQUIRE(timed.code == 0);
  CHECK_THAT(timed.output, contains("layer1.0.conv1") && contains("convolution"));
}

TEST_CASE("a run on the emulated GPU gives the same bytes eagerly and by graph") {
  const Bench b;
  for (const char* run : {"graph", "eager"}) {
    std::vector<std::string> arguments = {"train", "--model", "resnet8", "--data", "cifar10", "--data-dir", b.data, "--held-out", "4", "--batch", "4", "--epochs", "1",
                                          "--device", "cuda:0", "--seed", "3", "--out", b.at(run)};
    if (run == std::string("eager")) arguments.insert(arguments.end(), {"--eager", "--conv-choices", b.at("graph") + "/conv_choices.json"});
    const Outcome outcome = run_hinge(arguments);
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
  }
  CHECK(slurp(b.at("graph") + "/model.safetensors") == slurp(b.at("eager") + "/model.safetensors"));
}

TEST_CASE("two ranks with an emulated GPU each search, cut and fine-tune to what one makes") {
  if (!is_there(no_ranks())) return;
  const Bench b;
  const std::vector<std::string> more = {"--sync-batch-norm", "--threads", "1"};
  const Outcome one = b.compress("one", "cuda:0", more);
  INFO(one.output);
  REQUIRE(one.code == 0);
  const pid_t job = start_ranks(2, b.compress_words("two", "cuda:0", more), b.at("log"));
  const int code = wait_for(job);
  INFO(slurp(b.at("log")));
  REQUIRE(code == 0);
  CHECK(b.result("two").at("ranks") == 2);
  CHECK(b.result("two").at("environment").at("device") == "cuda:0, emulated GPU, fp32");
  const auto kept = [&](const std::string& run) { return nlohmann::json::parse(slurp(b.at(run) + "/plan.json"))["plan"]["sets"]; };
  REQUIRE(kept("one").size() == kept("two").size());
  for (std::size_t set = 0; set < kept("one").size(); ++set) CHECK(kept("one")[set]["kept"] == kept("two")[set]["kept"]);
  CHECK(b.result("two").at("held_out_error") == b.result("one").at("held_out_error"));
  // A rank that computes elsewhere than the others, and one that shares its GPU, are told so before anything is made.
  const int mixed = wait_for(start({"mpirun", "-n", "2", "sh", "-c", "exec \"$0\" \"$@\" --device $(test $OMPI_COMM_WORLD_RANK = 0 && echo cpu || echo cuda:0)", HINGE_BINARY, "train", "--model", "resnet8", "--data", "cifar10",
                                    "--data-dir", b.data, "--held-out", "4", "--batch", "4", "--epochs", "1", "--out", b.at("mixed")},
                                   b.at("log")));
  CHECK(mixed == 2);
  CHECK_THAT(slurp(b.at("log")), contains("rank 1 computes on a GPU, rank 0 on the CPU"));
  CHECK_FALSE(std::filesystem::exists(b.at("mixed")));
}

TEST_CASE("the search's other optimisers run on the emulated GPU too") {
  const Bench b;
  for (const std::vector<std::string>& more : {std::vector<std::string>{"--optimizer", "apg"}, {"--optimizer", "sgd"}, {"--mode", "both", "--overlap", "exact"}}) {
    const std::string run = more.back();
    const Outcome outcome = b.compress(run, "cuda:0", more);
    INFO(outcome.output);
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("what goes wrong inside of a captured graph is found by repeating the steps without one") {
  const Bench b;
  std::vector<std::string> arguments = {"train", "--model", "resnet8", "--data", "cifar10", "--data-dir", b.data, "--held-out", "4", "--batch", "4", "--epochs", "1",
                                        "--device", "cuda:0", "--lr", "1e30", "--seed", "3", "--out", b.at("run")};
  const Outcome outcome = run_hinge(arguments);
  INFO(outcome.output);
  CHECK(outcome.code == 1);
  CHECK_THAT(outcome.output, contains("repeating steps from epoch 1, step 1 without graphs"));
  CHECK_THAT(outcome.output, contains("hinge: train, epoch 1, step 2: output of layer1.0.conv1["));
}

TEST_CASE("memory that a GPU hasn't ends the run with how much was asked for, and the resumed run has the same bytes") {
  const Bench b;
  const auto arguments = [&](const std::string& run) {
    return std::vector<std::string>{"train", "--model", "resnet8", "--data", "cifar10", "--data-dir", b.data, "--held-out", "4", "--batch", "4", "--epochs", "1", "--checkpoint-every", "2",
                                    "--device", "cuda:0", "--seed", "3", "--out", b.at(run)};
  };
  const Outcome whole = run_hinge(arguments("whole"));
  INFO(whole.output);
  REQUIRE(whole.code == 0);
  int refused = 0;
  for (int segment : {1, 3, 5}) {
    std::filesystem::remove_all(b.at("run"));
    // Same record, same bytes: the choice of convolutions must not differ by a measurement's chance.
    std::vector<std::string> again = arguments("run");
    again.insert(again.end(), {"--conv-choices", b.at("whole") + "/conv_choices.json"});
    const Outcome outcome = run_hinge(again, fmt::format("device-allocate:{}:ENOMEM", segment));
    INFO(segment << outcome.output);
    if (outcome.code == 0) break;
    ++refused;
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.output, contains("cuda:0: out of memory: asked for "));
    CHECK_FALSE(std::filesystem::exists(b.at("run/model.safetensors")));
    const Outcome resumed = run_hinge({"train", "--resume", b.at("run")});
    INFO(resumed.output);
    CHECK(resumed.code == 0);
    CHECK(slurp(b.at("run/model.safetensors")) == slurp(b.at("whole/model.safetensors")));
  }
  CHECK(refused >= 1);
}
