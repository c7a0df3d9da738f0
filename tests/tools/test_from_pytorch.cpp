// A state dict made with torch, converted, loaded: the same logits in both programs.
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdlib>

#include "engine/io/safetensors.h"
#include "tests/support/catch.h"
#include "tests/support/tiny.h"
#include "tests/tools/process.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

const std::string kConverter = HINGE_SOURCE_DIR "/tools/from_pytorch.py";

// Debian's torch comes with the system's Python.
std::string python_with_torch() {
  for (const char* python : {"/usr/bin/python3", "python3"}) {
    if (std::system((std::string(python) + " -c 'import torch' >/dev/null 2>&1").c_str()) == 0) return python;
  }
  return "";
}

Outcome run_python(const std::string& python, const std::string& arguments, const std::filesystem::path& log) {
  const int status = std::system((python + " " + arguments + " >" + log.string() + " 2>&1").c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, slurp(log)};
}

}  // namespace

TEST_CASE("a ResNet-18 of PyTorch goes in through from_pytorch.py and gives PyTorch's logits", "[night]") {
  const std::string python = python_with_torch();
  if (python.empty()) {
    WARN("skipped: torch isn't installed (Debian: python3-torch)");
    return;
  }
  const io::Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch.folder() / name).string(); };
  write_tiny_cifar(at("cifar"), 8);
  const auto run = [&](const std::string& arguments) { return run_python(python, arguments, at("log")); };
  const Outcome made = run(HINGE_SOURCE_DIR "/tests/tools/resnet18_in_pytorch.py " + at("cifar/cifar-10-batches-bin/test_batch.bin") + " " + scratch.folder().string());
  INFO(made.output);
  REQUIRE(made.code == 0);

  const std::string logits_bytes = slurp(at("logits.f32"));
  REQUIRE(logits_bytes.size() == 8 * 10 * sizeof(float));
  std::vector<float> want(80);
  std::memcpy(want.data(), logits_bytes.data(), logits_bytes.size());
  // Named on the command line, and named in the file by the converter.
  for (const auto& [source, convert, load] : {std::tuple("net.pth", "", " --model resnet18"), std::tuple("checkpoint.pth", " --model resnet18", "")}) {
    const Outcome converted = run(kConverter + " " + at(source) + " " + at("net.safetensors") + convert);
    INFO(converted.output);
    REQUIRE(converted.code == 0);
    CHECK_THAT(converted.output, contains("122 tensors"));
    std::vector<std::string> arguments = {"eval", "--weights", at("net.safetensors"), "--data", "cifar10", "--data-dir", at("cifar"), "--mean", "0.485,0.456,0.406",
                                          "--std", "0.229,0.224,0.225", "--logits", at("logits.safetensors")};
    std::istringstream more(load);
    for (std::string word; more >> word;) arguments.push_back(word);
    const Outcome evaluated = run_hinge(arguments);
    INFO(evaluated.output);
    REQUIRE(evaluated.code == 0);
    const Tensor got = io::read_safetensors(at("logits.safetensors")).tensors.at("logits");
    REQUIRE(got.shape() == Shape{8, 10});
    double spread = 0.0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      CHECK(std::fabs(got.data()[i] - want[i]) <= 1e-3f * std::max(1.0f, std::fabs(want[i])));
      spread = std::max(spread, static_cast<double>(std::fabs(want[i] - want[i % 10])));
    }
    CHECK(spread > 0.01);  // the pictures are told apart
  }
  // Without a name the file says which it could be.
  REQUIRE(run(kConverter + " " + at("net.pth") + " " + at("net.safetensors")).code == 0);
  const Outcome unnamed = run_hinge({"info", "--weights", at("net.safetensors")});
  CHECK(unnamed.code == 2);
  CHECK_THAT(unnamed.output, contains("--model resnet18"));
  const Outcome wrong = run_hinge({"info", "--weights", at("net.safetensors"), "--model", "resnet34"});
  CHECK(wrong.code == 1);
  CHECK_THAT(wrong.output, contains("matched: 102 of") && contains("missing: layer1.2.bn1.bias") && contains("they fit --model resnet18"));

  SECTION("values, types and shapes are what torch had") {
    const Outcome converted = run(kConverter + " " + at("odd.pth") + " " + at("odd.safetensors"));
    INFO(converted.output);
    REQUIRE(converted.code == 0);
    CHECK_THAT(converted.output, contains("7 tensors") && contains("note (int)"));
    const auto tensors = io::read_safetensors(at("odd.safetensors")).tensors;
    const Tensor& transposed = tensors.at("transposed");
    REQUIRE(transposed.shape() == Shape{3, 2});
    for (int i = 0; i < 6; ++i) CHECK(transposed.data()[i] == static_cast<float>(i % 2 * 3 + i / 2));
    for (const char* name : {"half", "bfloat", "double"}) {
      REQUIRE(tensors.at(name).shape() == Shape{2, 3});
      for (int i = 0; i < 6; ++i) CHECK(tensors.at(name).data()[i] == static_cast<float>(i));
    }
    CHECK(tensors.at("empty").shape() == Shape{0, 4});
    CHECK(tensors.at("scalar").shape() == Shape{});
    CHECK(tensors.at("scalar").data<std::int64_t>()[0] == 7);
  }
  SECTION("what can't be read is refused with the reason, and nothing is written") {
    std::ofstream(at("text.pth")) << "not a file of torch";
    const auto refused = [&](const std::string& arguments, const std::string& part) {
      const Outcome outcome = run(kConverter + " " + arguments + " " + at("none.safetensors"));
      INFO(outcome.output);
      CHECK(outcome.code == 1);
      CHECK_THAT(outcome.output, contains(part));
      CHECK_THAT(outcome.output, !contains("Traceback"));
      CHECK_FALSE(std::filesystem::exists(at("none.safetensors")));
    };
    refused(at("absent.pth"), "no such file");
    refused(at("text.pth"), "torch.save didn't write this");
    refused(at("list.pth"), "holds a list");
    refused(at("nothing.pth"), "it has: epoch");
    refused(at("checkpoint.pth") + " --key model", "it has: epoch, state_dict");
    refused(at("module.pth"), "Sequential");
    refused(at("module.pth"), "--allow-pickle");
    CHECK(run(kConverter + " " + at("module.pth") + " " + at("module.safetensors") + " --allow-pickle").code == 0);
    CHECK(io::read_safetensors(at("module.safetensors")).tensors.at("0.weight").shape() == Shape{3, 2});
  }
}
