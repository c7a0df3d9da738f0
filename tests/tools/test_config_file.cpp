// --config: a file of options is as good as flags, and a run's config.json is such a file. Shell completion.
#include <nlohmann/json.hpp>

#include "engine/io/json.h"
#include "engine/nn/model_file.h"
#include "tests/support/catch.h"
#include "tests/support/tiny.h"
#include "tests/tools/process.h"
#include "tools/hinge/config_file.h"

using namespace hinge;
using namespace hinge::testing;
using nlohmann::json;

namespace {

struct Bench {
  io::Scratch scratch;
  Bench() { write_tiny_cifar(at("cifar"), 20); }
  std::string at(const std::string& name) const { return (scratch.folder() / name).string(); }
  void refused(const std::vector<std::string>& arguments, int code, const std::string& part) const {
    const Outcome outcome = run_hinge(arguments);
    INFO(outcome.output);
    CHECK(outcome.code == code);
    CHECK_THAT(outcome.output, contains(part));
    CHECK_FALSE(std::filesystem::exists(at("none")));
  }
};

}  // namespace

TEST_CASE("a run's config.json repeats the run, bytes and all, and flags beside it win") {
  const Bench b;
  const Outcome made = run_hinge({"train", "--model", "resnet8", "--data", "cifar10", "--data-dir", b.at("cifar"), "--epochs", "1", "--batch", "32", "--held-out", "20", "--nesterov", "--mean", "0.4,0.5,0.6", "--std",
                                  "0.2,0.2,0.2", "--seed", "7", "--milestones", "0.5,0.75", "--out", b.at("a")});
  INFO(made.output);
  REQUIRE(made.code == 0);
  REQUIRE(run_hinge({"train", "--config", b.at("a/config.json"), "--conv-choices", b.at("a/conv_choices.json"), "--out", b.at("b")}).code == 0);
  json a = io::read_json(b.at("a/config.json")), again = io::read_json(b.at("b/config.json"));
  for (json* config : {&a, &again}) (*config)["options"].erase("out"), (*config)["options"].erase("conv-choices");
  CHECK(again == a);
  CHECK(slurp(b.at("a/model.safetensors")) == slurp(b.at("b/model.safetensors")));
  REQUIRE(run_hinge({"train", "--seed=8", "--config=" + b.at("a/config.json"), "--out", b.at("c")}).code == 0);
  CHECK(io::read_json(b.at("c/config.json"))["options"]["seed"] == 8);
  CHECK(io::read_json(b.at("c/config.json"))["options"]["nesterov"] == true);
  b.refused({"finetune", "--config", b.at("a/config.json"), "--out", b.at("none")}, 2, "is of 'hinge train'");
  b.refused({"train", "--config", b.at("a/config.json")}, 2, "already holds a run");
  b.refused({"train", "--config", b.at("a/config.json"), "--resume", b.at("a")}, 2, "remove --config");
}

TEST_CASE("a value from a file is checked as one that was typed") {
  const Bench b;
  const auto refused = [&](const std::string& text, int code, const std::string& part) {
    std::ofstream(b.at("config.json")) << text;
    b.refused({"train", "--model", "resnet8", "--data", "cifar10", "--data-dir", b.at("cifar"), "--config", b.at("config.json"), "--out", b.at("none")}, code, part);
  };
  refused(R"({"epochs": 0})", 2, "--epochs");
  refused(R"({"epochs": "many"})", 2, "--epochs");
  refused(R"({"epoch": 1})", 2, "did you mean '--epochs'");
  refused(R"({"epochs": {"a": 1}})", 1, "option 'epochs'");
  refused(R"({"options": 3})", 1, "'options'");
  refused(R"([1])", 1, "config.json");
  refused(R"({"epochs": )", 1, "config.json");
  b.refused({"train", "--config", b.at("absent.json"), "--out", b.at("none")}, 1, "absent.json");
}

TEST_CASE("words of a file stand behind those given, lists joined, false and empty values left out") {
  const Bench b;
  io::write_json(b.at("c.json"), {{"a", 1.5}, {"b", {1, 2}}, {"c", true}, {"d", false}, {"e", ""}, {"f", json::array()}, {"g", "x y"}, {"h", nullptr}});
  CHECK(cli::with_config_file({"train", "--config", b.at("c.json"), "--a", "2"}) ==
        std::vector<std::string>{"train", "--config", b.at("c.json"), "--a", "2", "--b=1,2", "--c", "--g=x y"});
  CHECK(cli::with_config_file({"train", "--a", "2"}) == std::vector<std::string>{"train", "--a", "2"});
}

TEST_CASE("bash completes commands and their options with the script that hinge writes") {
  const Bench b;
  const auto completions = [&](const std::string& words, int position) {
    std::ofstream(b.at("try.sh")) << "source <('" HINGE_BINARY "' completion bash)\nCOMP_WORDS=(" << words << ")\nCOMP_CWORD=" << position << "\n_hinge\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
    REQUIRE(std::system(("bash " + b.at("try.sh") + " >" + b.at("out") + " 2>&1").c_str()) == 0);
    return slurp(b.at("out"));
  };
  CHECK(completions("hinge comp", 1) == "compress\ncompletion\n");
  CHECK(completions("hinge compress --search-e", 2) == "--search-epochs\n");
  CHECK_THAT(completions("hinge export --", 2), contains("--keep-batch-norm\n") && contains("--weights\n") && !contains("--target"));
  CHECK(run_hinge({"completion", "fish"}).code == 2);
  CHECK_THAT(run_hinge({"completion", "zsh"}).output, contains("bashcompinit"));
}
