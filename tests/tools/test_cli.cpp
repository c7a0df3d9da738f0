// The program from outside: exit codes, messages, JSON.
#include <nlohmann/json.hpp>

#include "engine/graph/cost.h"
#include "engine/io/safetensors.h"
#include "engine/nn/model_file.h"
#include "tests/support/catch.h"
#include "tests/support/tiny.h"
#include "tests/tools/process.h"
#include "tests/tools/tiny_bench.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// A folder with a tiny CIFAR-10 and the weights of a tiny network.
struct Bench : TinyBench {
  Bench() : TinyBench(40) {}
};

void check_refused(const std::vector<std::string>& arguments, int code, const std::vector<std::string>& parts) {
  const Outcome outcome = run_hinge(arguments);
  INFO(outcome.output);
  CHECK(outcome.code == code);
  for (const std::string& part : parts) CHECK_THAT(outcome.output, contains(part));
}

}  // namespace

TEST_CASE("a mistyped command, option or name is refused with exit code 2 and the nearest known one") {
  const Bench b;
  check_refused({"compres"}, 2, {"compres", "did you mean 'compress'"});
  check_refused({"eval", "--weigths", b.weights}, 2, {"--weigths", "did you mean '--weights'"});
  check_refused({"info", "--model", "resnet2O"}, 2, {"resnet2O", "did you mean 'resnet20'"});
  check_refused({"info", "--model", "resnet20", "--shortcut", "a-pool"}, 2, {"a-pool", "A-pool"});
  check_refused({"eval", "--weights", b.weights, "--data", "cifar1O", "--data-dir", b.data}, 2, {"cifar1O", "cifar10"});
  check_refused({"compress", "--weights", b.weights, "--data", "cifar10", "--data-dir", b.data, "--out", b.at("run"),
                 "--regularizer", "l11"},
                2, {"l11", "known: ", "l1"});
  check_refused({}, 2, {"subcommand"});
  CHECK_FALSE(std::filesystem::exists(b.at("run")));
}

TEST_CASE("a target that can't be reached is refused before training, with the range") {
  const Bench b;
  const std::vector<std::string> base = {"compress", "--weights", b.weights, "--data", "cifar10", "--data-dir", b.data, "--out", b.at("run"), "--target"};
  for (const char* target : {"flops=0.05", "flops=0", "flops=1.5", "flops=x", "flop=0.5", "0.5"}) {
    auto arguments = base;
    arguments.push_back(target);
    check_refused(arguments, 2, {"--target"});
  }
  auto arguments = base;
  arguments.push_back("flops=0.05");
  check_refused(arguments, 2, {"can't be reached", "to 1 of its FLOPs"});
  CHECK_FALSE(std::filesystem::exists(b.at("run")));
}

TEST_CASE("missing and damaged input names the file and what was wrong, with exit code 1") {
  const Bench b;
  check_refused({"eval", "--weights", b.at("none.safetensors"), "--data", "cifar10", "--data-dir", b.data}, 1, {"none.safetensors"});
  check_refused({"eval", "--weights", b.weights, "--data", "cifar10", "--data-dir", b.at("nowhere")}, 1, {"nowhere"});
  const std::string whole = slurp(b.weights);
  std::ofstream(b.at("cut.safetensors"), std::ios::binary) << whole.substr(0, whole.size() / 2);
  check_refused({"eval", "--weights", b.at("cut.safetensors"), "--data", "cifar10", "--data-dir", b.data}, 1, {"cut.safetensors"});
  std::filesystem::resize_file(b.at("cifar/cifar-10-batches-bin/data_batch_2.bin"), 5000);
  check_refused({"eval", "--weights", b.weights, "--data", "cifar10", "--data-dir", b.data}, 1, {"data_batch_2.bin", "5000"});
}

TEST_CASE("a training that can't begin leaves no run folder behind, so that the same command is right once the input is") {
  const Bench b;
  const std::vector<std::string> nowhere = {"--data", "cifar10", "--data-dir", b.at("nowhere"), "--out", b.at("run")};
  const auto refused = [&](std::vector<std::string> command, const std::vector<std::string>& rest, int code, const std::string& named) {
    command.insert(command.end(), rest.begin(), rest.end());
    check_refused(command, code, {named});
    CHECK_FALSE(std::filesystem::exists(b.at("run")));
  };
  refused({"train", "--model", "resnet8"}, nowhere, 1, "nowhere");
  refused({"finetune", "--weights", b.weights}, nowhere, 1, "nowhere");
  const std::vector<std::string> here = {"--data", "cifar10", "--data-dir", b.data, "--held-out", "40", "--out", b.at("run")};
  refused({"finetune", "--weights", b.at("none.safetensors")}, here, 1, "none.safetensors");
  refused({"finetune", "--weights", b.weights, "--teacher", b.at("no-teacher.safetensors")}, here, 1, "no-teacher.safetensors");
  refused({"train", "--model", "resnet8", "--mean", "0.5"}, here, 2, "--mean");
  check_refused({"train", "--model", "resnet8", "--data", "cifar10", "--data-dir", b.data}, 2, {"--out"});
}

TEST_CASE("weights of another network are refused with every name that doesn't fit") {
  const Bench b;
  ModelFile file = read_model_file(b.weights);
  io::TensorFile other{.tensors = file.tensors, .metadata = {}};
  other.tensors.erase("bn1.weight");
  other.tensors.emplace("extra.weight", Tensor::zeros({3}));
  io::write_safetensors(b.at("other.safetensors"), other);
  check_refused({"eval", "--weights", b.at("other.safetensors"), "--data", "cifar10", "--data-dir", b.data}, 2, {"--model"});
  check_refused({"eval", "--weights", b.at("other.safetensors"), "--model", "resnet8", "--shortcut", "A-stride", "--data", "cifar10", "--data-dir", b.data},
                1, {"missing: bn1.weight", "extra.weight"});
}

TEST_CASE("eval writes JSON with the documented keys and logits of every image") {
  const Bench b;
  const Outcome outcome = run_hinge({"eval", "--weights", b.weights, "--data", "cifar10", "--data-dir", b.data, "--json", b.at("e.json"), "--logits", b.at("l.safetensors")});
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  const auto json = nlohmann::json::parse(slurp(b.at("e.json")));
  for (const char* key : {"top1_error", "top5_error", "cross_entropy", "images", "parameters", "macs", "operations"}) CHECK(json.contains(key));
  CHECK(json["images"] == 40);
  CHECK(io::read_safetensors(b.at("l.safetensors")).tensors.at("logits").shape() == Shape{40, 10});
}

TEST_CASE("info gives the counts of the table of networks") {
  const auto operations = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"info", "--json", "-"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run_hinge(arguments);
    REQUIRE(outcome.code == 0);
    const auto json = nlohmann::json::parse(outcome.output.substr(outcome.output.find("{\n")));
    return std::pair(json["parameters"].get<long>(), json["operations"].get<long>());
  };
  CHECK(operations({"--model", "resnet20"}) == std::pair(269738l, 41116288l));
  CHECK(operations({"--model", "resnet56"}) == std::pair(853034l, 127083136l));
  CHECK(operations({"--model", "resnet20", "--shortcut", "C"}) == std::pair(272490l, 41403008l));
  CHECK(operations({"--model", "resnet20", "--shortcut", "A-stride"}).first == 269722);
  CHECK(operations({"--model", "resnet56", "--shortcut", "A-stride"}).first == 853018);
}

TEST_CASE("info builds every network, for the classes and the picture asked for") {
  const auto info = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"info", "--json", "-", "--model"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run_hinge(arguments);
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
    return nlohmann::json::parse(outcome.output.substr(outcome.output.find("{\n")));
  };
  for (const std::string& name : models::names()) {
    const auto json = info({name});
    CHECK(json["architecture"] == name);
    CHECK(json["parameters"] == cost_of(models::build(name, {})).parameters);
  }
  const auto small = info({"resnet50", "--classes", "10", "--input", "64x64x1"});
  CHECK(small["input"] == nlohmann::json({64, 64, 1}));
  CHECK(small["parameters"] == 25'557'032 - 990 * 2049 - 2 * 64 * 49);
  CHECK(info({"wrn-16-10", "--classes", "100", "--input", "64x64"})["input"] == nlohmann::json({64, 64, 3}));
  for (const char* input : {"224", "224x", "x224x3", "0x224x3", "224x224x3x1", "224x-1x3", "ax224", "64x96x3"}) {
    check_refused({"info", "--model", "resnet18", "--input", input}, 2, {"expected"});
  }
  check_refused({"info", "--model", "vgg16", "--input", "16x16x3"}, 2, {"vgg16", "16x16x3"});
  check_refused({"info", "--model", "vgg16", "--classes", "1"}, 2, {"1 classes"});
}

TEST_CASE("a state dict from elsewhere takes the picture's size from the data, its classes and shortcut from its shapes") {
  const Bench b;
  Network network(models::build("resnet8", {.input = {16, 16, 3}, .shortcut = "C"}));
  initialise(network, 1);
  io::TensorFile file;
  for (const auto& [name, tensor] : network.values()) {
    const std::string theirs = name.starts_with("linear.") ? "fc." + name.substr(7) : name;
    file.tensors.emplace("module." + theirs, tensor.shape().rank() == 4 ? filters_to_file_layout(tensor) : tensor);
  }
  io::write_safetensors(b.at("theirs.safetensors"), file);
  const Outcome outcome = run_hinge({"eval", "--weights", b.at("theirs.safetensors"), "--model", "resnet8", "--data", "cifar10", "--data-dir", b.data});
  INFO(outcome.output);
  CHECK(outcome.code == 0);
  check_refused({"eval", "--weights", b.at("theirs.safetensors"), "--data", "cifar10", "--data-dir", b.data}, 2, {"--model resnet8 --shortcut C"});
  check_refused({"info", "--weights", b.at("theirs.safetensors"), "--model", "resnet14"}, 1, {"matched: ", "they fit --model resnet8 --shortcut C"});
  // A file of ours says which pictures it takes, and is held to it.
  write_network(b.at("ours.safetensors"), network);
  check_refused({"eval", "--weights", b.at("ours.safetensors"), "--data", "cifar10", "--data-dir", b.data}, 2, {"takes 16x16x3", "32x32x3"});
}

TEST_CASE("the pretrained networks give their author's errors and logits", "[night]") {
  const char* shared_variable = std::getenv("HINGE_SHARED");
  const char* cifar_variable = std::getenv("HINGE_CIFAR");
  const std::string pretrained = std::string(shared_variable ? shared_variable : "../shared") + "/data/pretrained/";
  const std::string cifar = cifar_variable ? cifar_variable : "build/cifar";
  if (!std::filesystem::exists(cifar) || !std::filesystem::exists(pretrained)) {
    WARN("skipped: no CIFAR at " << cifar << " or no networks at " << pretrained);
    return;
  }
  struct Expected {
    const char* model;
    double error, cross_entropy;
    float logits[3];
  };
  const Expected table[] = {{"resnet20", 8.27, 0.372661, {-5.30968f, -0.49577f, 0.87726f}},
                            {"resnet56", 6.61, 0.345829, {-5.52563f, -1.54687f, -0.71578f}}};
  const io::Scratch scratch;
  for (const Expected& expected : table) {
    const std::string json = (scratch.folder() / "e.json").string(), logits = (scratch.folder() / "l.safetensors").string();
    const Outcome outcome = run_hinge({"eval", "--weights", pretrained + expected.model + "-cifar10.safetensors", "--model", expected.model, "--shortcut", "A-stride",
                                       "--data", "cifar10", "--data-dir", cifar, "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--json", json, "--logits", logits});
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
    const auto result = nlohmann::json::parse(slurp(json));
    CHECK((std::abs(result["top1_error"].get<double>() - expected.error) <= 1e-9));
    CHECK((std::abs(result["cross_entropy"].get<double>() - expected.cross_entropy) <= 1e-4));
    const Tensor first = io::read_safetensors(logits).tensors.at("logits");
    for (int k = 0; k < 3; ++k) CHECK((std::abs(first.data()[k] - expected.logits[k]) <= 1e-3f));
  }
}
