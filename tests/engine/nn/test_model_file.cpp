#include "engine/nn/model_file.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>

#include "engine/io/safetensors.h"
#include "models/registry.h"
#include "tests/engine/io/scratch.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

Network random_network(const std::string& shortcut = "A-stride", std::uint64_t seed = 1) {
  Network network(models::build("resnet8", {.shortcut = shortcut}));
  for (auto& [name, tensor] : network.values()) {
    const Tensor values = random_tensor(tensor.shape(), ++seed, 0.1f, 1.0f);
    std::ranges::copy(values.values(), Tensor(tensor).mutable_data());
  }
  return network;
}

// As PyTorch would have written it: other names around, no graph.
io::TensorFile foreign_file(const Network& network, const std::string& prefix) {
  io::TensorFile file;
  for (const auto& [name, tensor] : network.values()) {
    file.tensors.emplace(prefix + name,
                         tensor.shape().rank() == 4 ? filters_to_file_layout(tensor) : tensor);
    if (name.ends_with("running_mean")) {
      const std::string norm = name.substr(0, name.size() - std::string("running_mean").size());
      file.tensors.emplace(prefix + norm + "num_batches_tracked", Tensor::zeros({}, DType::kInt64));
    }
  }
  return file;
}

void check_equal(const Network& a, const Network& b) {
  const auto left = a.values(), right = b.values();
  REQUIRE(left.size() == right.size());
  for (const auto& [name, tensor] : left) {
    INFO(name);
    CHECK(same_bytes(tensor, right.at(name)));
  }
}

}  // namespace

TEST_CASE("a network comes back from its file with its graph and every byte of its values") {
  const io::Scratch scratch;
  for (const std::string shortcut : {"A-pool", "A-stride", "C"}) {
    const Network network = random_network(shortcut);
    const auto path = scratch / (shortcut + ".safetensors");
    write_network(path, network, {{"note", "kept"}});
    const ModelFile file = read_model_file(path);
    REQUIRE(file.graph.has_value());
    CHECK(*file.graph == network.graph());
    CHECK(file.metadata.at("note") == "kept");
    CHECK(file.metadata.at("architecture") == "resnet8");
    const Network back = network_from(file, {}, path.string());
    check_equal(back, network);
    write_network(scratch / "again", back, {{"note", "kept"}});
    CHECK(io::read_file(scratch / "again") == io::read_file(path));
  }
}

TEST_CASE("filters lie K,C,R,S in the file and K,R,S,C in memory") {
  const Tensor w = random_tensor({2, 3, 5, 7}, 1);  // K, R, S, C
  const Tensor stored = filters_to_file_layout(w);
  REQUIRE(stored.shape() == Shape{2, 7, 3, 5});
  for (std::int64_t k = 0; k < 2; ++k) {
    for (std::int64_t r = 0; r < 3; ++r) {
      for (std::int64_t s = 0; s < 5; ++s) {
        for (std::int64_t c = 0; c < 7; ++c) {
          if (stored.data()[((k * 7 + c) * 3 + r) * 5 + s] !=
              w.data()[((k * 3 + r) * 5 + s) * 7 + c]) {
            FAIL("k " << k << ", r " << r << ", s " << s << ", c " << c);
          }
        }
      }
    }
  }
  CHECK(same_bytes(filters_from_file_layout(stored), w));
  for (const Shape& shape :
       {Shape{1, 1, 1, 1}, Shape{4, 1, 1, 8}, Shape{8, 3, 3, 1}, Shape{0, 3, 3, 2}}) {
    const Tensor filters = random_tensor(shape, 2);
    CHECK(same_bytes(filters_from_file_layout(filters_to_file_layout(filters)), filters));
  }
  CHECK_THROWS_WITH(filters_to_file_layout(Tensor::zeros({2, 3})),
                    contains("[2, 3]") && contains("[K, R, S, C]"));
  CHECK_THROWS_WITH(filters_from_file_layout(Tensor::zeros({2})),
                    contains("[2]") && contains("[K, C, R, S]"));
}

TEST_CASE("a state dict of PyTorch loads: with or without 'module.', counters dropped") {
  const io::Scratch scratch;
  const Network network = random_network();
  for (const std::string prefix : {"", "module."}) {
    const auto path = scratch / "foreign.safetensors";
    io::write_safetensors(path, foreign_file(network, prefix));
    const ModelFile file = read_model_file(path);
    CHECK_FALSE(file.graph.has_value());
    check_equal(network_from(file, network.graph(), path.string()), network);
  }
}

TEST_CASE("a file without a graph needs to be told which network it is") {
  const io::Scratch scratch;
  io::write_safetensors(scratch / "foreign", foreign_file(random_network(), ""));
  const ModelFile file = read_model_file(scratch / "foreign");
  CHECK_THROWS_AS(network_from(file, {}, "foreign"), UsageError);
  CHECK_THROWS_WITH(network_from(file, {}, "foreign"), contains("foreign") && contains("--model"));
}

TEST_CASE(
    "weights of another network are refused with the file's name and every name that differs") {
  const io::Scratch scratch;
  io::TensorFile foreign = foreign_file(random_network(), "");
  foreign.tensors.erase("bn1.weight");
  foreign.tensors.emplace("fc.weight", Tensor::zeros({1}));
  foreign.tensors.at("conv1.weight") = Tensor::zeros({16, 4, 3, 3});
  io::write_safetensors(scratch / "foreign", foreign);
  const ModelFile file = read_model_file(scratch / "foreign");
  const auto graph = random_network().graph();
  CHECK_THROWS_AS(network_from(file, graph, "some/file"), Error);
  CHECK_THROWS_WITH(network_from(file, graph, "some/file"),
                    contains("some/file") && contains("missing: bn1.weight") &&
                        contains("fc.weight") && contains("conv1.weight") &&
                        contains("expected F32 [16, 3, 3, 3]"));
}

TEST_CASE("a file whose graph is damaged is refused by name") {
  const io::Scratch scratch;
  io::TensorFile file = foreign_file(random_network(), "");
  for (const std::string graph : {"", "{", "[]", "{\"format\": \"hinge-graph-1\"}", "null"}) {
    file.metadata["hinge.graph"] = graph;
    io::write_safetensors(scratch / "damaged", file);
    CHECK_THROWS_AS(read_model_file(scratch / "damaged"), Error);
    CHECK_THROWS_WITH(read_model_file(scratch / "damaged"),
                      contains("damaged") && contains("graph"));
  }
}

TEST_CASE("the pretrained files load into the ResNets with every second pixel as shortcut") {
  const char* shared = std::getenv("HINGE_SHARED");
  const auto folder =
      std::filesystem::path(shared != nullptr ? shared : "../shared") / "data" / "pretrained";
  for (const std::string model : {"resnet20", "resnet56"}) {
    const auto path = folder / (model + "-cifar10.safetensors");
    if (!std::filesystem::exists(path)) {
      std::cout << "skipped: no pretrained files at " << folder.string() << "\n";
      return;
    }
    const ModelFile file = read_model_file(path);
    Network network =
        network_from(file, models::build(model, {.shortcut = "A-stride"}), path.string());
    const Tensor logits = network.forward(random_tensor({2, 32, 32, 3}, 1), {}, {});
    CHECK(logits.shape() == Shape{2, 10});
    for (float value : logits.values()) CHECK(std::isfinite(value));
    // The form with pooling has a bias in the stem, which these files lack.
    CHECK_THROWS_WITH(
        network_from(file, models::build(model, {.shortcut = "A-pool"}), path.string()),
        contains("missing: conv1.bias"));
  }
}
