// Out to ONNX: what ONNX Runtime computes is what the network computes, for every family, whole and compressed.
#include <cmath>

#include "compress/surgery.h"
#include "data/loader.h"
#include "engine/io/safetensors.h"
#include "engine/nn/fold_batch_norm.h"
#include "engine/nn/model_file.h"
#include "engine/nn/onnx_file.h"
#include "kernels/conv2d.h"
#include "models/state_dict.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/random_graph.h"
#include "tests/support/tiny.h"
#include "tests/tools/onnx_runtime.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// Of any logit of a trained network; of those with random weights, whose 164 layers amplify rounding, relative to the
// largest.
constexpr double kTolerance = 1e-4;
constexpr int kImages = 4;

// CIFAR-10's first test images, where they are.
Tensor pictures(const FeatureShape& input) {
  const char* variable = std::getenv("HINGE_CIFAR");
  const std::string folder = variable ? variable : "build/cifar";
  if (input == FeatureShape{32, 32, 3} && std::filesystem::exists(folder)) {
    static const data::Dataset set = data::load_dataset("cifar10", folder);
    data::Loader loader(set.test, set.normalization, {0, 1, 2, 3}, {.batch_size = kImages});
    loader.start(0);
    return loader.next()->images;
  }
  return random_tensor({kImages, input.h, input.w, input.c}, 7, -2.0f, 2.0f);
}

Network calibrated(const Graph& graph, const Tensor& images) {
  Network network = random_network(graph, 3);
  calibrate(network, images);
  return network;
}

struct Compressed {
  Network network;
  bool pairs = false, carriers = false;
};

// At most 60 % of the multiply-adds, chosen at random.
std::optional<Compressed> compressed(const Network& dense, compress::Mode mode) {
  using namespace compress;
  const GroupOptions options{.mode = mode, .exclude = {}, .residual = false};
  std::vector<std::int64_t> ranks;  // the identity's: as many as there are filters
  for (const std::string& layer : choose_groups(dense.graph(), options).attach) {
    ranks.push_back(std::get<ConvAttributes>(dense.graph().at(dense.graph().find(layer)).attributes).out);
  }
  const Structure structure = make_structure(dense.graph(), options, ranks);
  if (structure.sets.empty()) return std::nullopt;
  const Budget budget(structure);
  const Target target{.count = Count::kMacs, .flops = 0.6, .parameters = {}, .bytes = {}};
  if (!target.met_by(least_size(budget, {}), budget.dense())) return std::nullopt;
  const Network attached = attach(dense, structure.choice.attach, Initialisation::kIdentity).network;
  Scores scores;
  for (const GroupSet& set : structure.sets) {
    const Tensor random = random_tensor({static_cast<std::int64_t>(set.size())}, 40 + scores.size(), 0.0f, 1.0f);
    scores.emplace_back(random.values().begin(), random.values().end());
  }
  const CompressionPlan plan = make_plan(structure, budget, attached, scores, target);
  Compressed result{apply(plan, structure, attached)};
  for (const auto& edit : plan.pairs) result.pairs |= edit.form != PairEdit::Form::kMerged;
  for (const auto& edit : plan.sets) result.carriers |= !edit.carriers.empty();
  return result;
}

void check_close(const nlohmann::json& results, bool trained) {
  for (const auto& [name, result] : results.items()) {
    INFO(name << ": largest logit " << result["largest"] << ", operations " << result["operations"].dump());
    CHECK(result["difference"].get<double>() <= kTolerance * (trained ? 1.0 : std::max(1.0, result["largest"].get<double>())));
    CHECK(result["largest"].get<double>() > 0.1);  // there is something to compare
    CHECK(result["largest"].get<double>() < 1000.0);
    CHECK(result["opset"] == nlohmann::json{17});
    CHECK(result["input"][0] == "N");
    for (const auto& shape : result["outputs"]) CHECK(shape[0] == "N");
    CHECK(result["outputs"].contains("logits"));
  }
}

}  // namespace

TEST_CASE("ONNX Runtime gives every family's logits, whole and compressed, with BatchNorm folded and kept", "[night]") {
  const std::string python = python_with_onnx_runtime();
  if (python.empty()) return;
  kernels::reset_conv("blocked");  // measuring the others takes longer than this test
  const io::Scratch scratch;
  OnnxRuns runs(python, scratch.folder());
  struct Family {
    std::string model, shortcut = "";
    FeatureShape input{32, 32, 3};
  };
  int with_pairs = 0, with_carriers = 0, pruned = 0;
  for (const Family& family : {Family{"resnet20", "A-pool"}, {"resnet20", "A-stride"}, {"resnet20", "C"}, {"resnet164"}, {"resnext20"}, {"wrn-16-10", "", {16, 16, 3}}, {"densenet40"}, {"vgg16"}, {"mobilenet_v2", "", {64, 64, 3}}, {"resnet18", "", {64, 64, 3}}, {"resnet50", "", {64, 64, 3}}}) {
    INFO(family.model << " " << family.shortcut);
    const Tensor images = pictures(family.input);
    const Network dense = calibrated(models::build(family.model, {.classes = 10, .input = family.input, .shortcut = family.shortcut}), images);
    const auto add = [&](const std::string& kind, const Network& network) {
      Network copy = network.clone();
      for (const bool keep : {false, true}) {
        if (keep && kind != "dense") continue;
        const std::string name = family.model + family.shortcut + "-" + kind + (keep ? "-bn" : "");
        write_onnx(runs.file(name), keep ? copy.clone() : fold_batch_norm(copy), {.metadata = {{"kind", kind}}});
        runs.expect(name, copy, images);
      }
    };
    add("dense", dense);
    for (const auto& [kind, mode] : {std::pair("auto", compress::Mode::kAuto), {"pruned", compress::Mode::kPrune}}) {
      const auto smaller = compressed(dense, mode);
      if (!smaller) continue;
      add(kind, smaller->network);
      with_pairs += smaller->pairs, with_carriers += smaller->carriers, pruned += mode == compress::Mode::kPrune;
    }
  }
  kernels::reset_conv();
  CHECK(with_pairs >= 5);
  CHECK(with_carriers >= 5);
  CHECK(pruned >= 5);
  const nlohmann::json results = runs.run();
  check_close(results, false);
  CHECK_FALSE(results["resnet20A-pool-dense"]["operations"].contains("BatchNormalization"));
  CHECK(results["resnet20A-pool-dense-bn"]["operations"]["BatchNormalization"] == 19);
  CHECK(results["resnet20A-pool-dense"]["input"] == nlohmann::json({"N", 3, 32, 32}));
  CHECK(results["resnet20A-pool-dense"]["outputs"]["logits"] == nlohmann::json({"N", 10}));
  CHECK(results["resnet20A-pool-dense"]["weights"]["layer2.0.conv1.weight"] == nlohmann::json({32, 16, 3, 3}));
  CHECK(results["resnet20A-pool-dense"]["metadata"] == nlohmann::json({{"kind", "dense"}}));
}

TEST_CASE("ONNX Runtime gives pretrained networks' logits on real pictures to 1e-4, whole and compressed", "[night]") {
  const char *shared = std::getenv("HINGE_SHARED"), *cifar = std::getenv("HINGE_CIFAR");
  const std::string pretrained = std::string(shared ? shared : "../shared") + "/data/pretrained/", data = cifar ? cifar : "build/cifar";
  if (!std::filesystem::exists(pretrained) || !std::filesystem::exists(data)) {
    WARN("skipped: no CIFAR at " << data << " or no networks at " << pretrained);
    return;
  }
  const std::string python = python_with_onnx_runtime();
  if (python.empty()) return;
  const io::Scratch scratch;
  OnnxRuns runs(python, scratch.folder());
  const data::Dataset set = data::load_dataset("cifar10", data);
  std::vector<int> first;
  for (int i = 0; i < 250; ++i) first.push_back(i);
  data::Loader loader(set.test, {{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}}, first, {.batch_size = 250});
  loader.start(0);
  const Tensor images = loader.next()->images;
  for (const std::string name : {"resnet20", "resnet56"}) {
    const ModelFile file = read_model_file(pretrained + name + "-cifar10.safetensors");
    Network dense = models::network_from_state_dict(file, name, {.shortcut = "A-stride"}, name);
    write_onnx(runs.file(name), fold_batch_norm(dense));
    runs.expect(name, dense, images);
    auto smaller = compressed(dense, compress::Mode::kAuto);
    REQUIRE(smaller);
    write_onnx(runs.file(name + "-small"), fold_batch_norm(smaller->network));
    runs.expect(name + "-small", smaller->network, images);
  }
  check_close(runs.run(), true);
}

TEST_CASE("ONNX Runtime computes random networks: pools, concatenations, shared weights, several heads") {
  const std::string python = python_with_onnx_runtime();
  if (python.empty()) return;
  const io::Scratch scratch;
  OnnxRuns runs(python, scratch.folder());
  int heads = 0, shared = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const Graph graph = random_graph(seed);
    heads += !graph.more_outputs.empty();
    for (const GraphNode& node : graph.nodes) shared += !node.weights_of.empty();
    const Tensor images = pictures(graph.input);
    Network network = calibrated(graph, images);
    const std::string name = "seed" + std::to_string(seed);
    write_onnx(runs.file(name), seed % 2 == 0 ? network.clone() : fold_batch_norm(network));
    runs.expect(name, network, images);
  }
  CHECK(heads >= 5);
  CHECK(shared >= 5);
  const nlohmann::json results = runs.run();
  for (const auto& [name, result] : results.items()) {
    INFO(name << ": operations " << result["operations"].dump());
    CHECK(result["difference"].get<double>() <= kTolerance * std::max(1.0, result["largest"].get<double>()));
  }
}

TEST_CASE("equal networks give equal ONNX bytes, and a failed write leaves the old file") {
  const io::Scratch scratch;
  const Network network = tiny_network(1);
  const OnnxOptions options{.producer_version = "1", .metadata = {{"key", "value"}}};
  CHECK(onnx_bytes(network, options) == onnx_bytes(network.clone(), options));
  CHECK(onnx_bytes(network, options) != onnx_bytes(tiny_network(2), options));
  std::ofstream(scratch / "net.onnx") << "old";
  io::faults().fail_write_after_bytes = 1000;
  CHECK_THAT(io::error_of([&] { write_onnx(scratch / "net.onnx", network, options); }), contains("net.onnx") && contains("wrote 1000 of"));
  io::faults() = {};
  CHECK(slurp(scratch / "net.onnx") == "old");
  CHECK(scratch.names() == std::set<std::string>{"net.onnx"});
}

TEST_CASE("hinge export: a compressed network goes out with its plan and proof, and gives the logits of hinge eval") {
  const io::Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch.folder() / name).string(); };
  const std::string cifar = at("cifar");
  write_tiny_cifar(cifar, 40);
  write_network(at("net.safetensors"), tiny_network(1));
  const auto hinge = [](const std::vector<std::string>& arguments, int code = 0) {
    const Outcome outcome = run_hinge(arguments);
    INFO(outcome.output);
    REQUIRE(outcome.code == code);
    return outcome.output;
  };
  hinge({"compress", "--weights", at("net.safetensors"), "--data", "cifar10", "--data-dir", cifar, "--target", "flops=0.6", "--search-epochs", "1", "--epochs", "1",
         "--held-out", "20", "--batch", "32", "--out", at("run")});
  hinge({"export", "--weights", at("run/model.safetensors"), "--format", "onnx", "--out", at("small.onnx")});
  hinge({"export", "--weights", at("run/model.safetensors"), "--keep-batch-norm", "--out", at("small-bn.onnx")});
  hinge({"export", "--weights", at("run/model.safetensors"), "--format", "safetensors", "--out", at("again.safetensors")});

  SECTION("safetensors hold the same tensors and the same description") {
    const ModelFile a = read_model_file(at("run/model.safetensors")), b = read_model_file(at("again.safetensors"));
    CHECK(a.metadata == b.metadata);
    REQUIRE(a.tensors.size() == b.tensors.size());
    for (const auto& [name, tensor] : a.tensors) CHECK(std::ranges::equal(io::bytes_of(tensor), io::bytes_of(b.tensors.at(name))));
  }
  SECTION("ONNX Runtime agrees with hinge eval") {
    const std::string python = python_with_onnx_runtime();
    if (python.empty()) return;
    OnnxRuns runs(python, scratch.folder());
    const ModelFile file = read_model_file(at("run/model.safetensors"));
    Network network = network_from(file, {}, "run");
    const data::Dataset set = data::load_dataset("cifar10", cifar);
    data::Loader loader(set.test, set.normalization, {0, 1, 2, 3, 4, 5, 6, 7}, {.batch_size = 8});
    loader.start(0);
    const Tensor images = loader.next()->images;
    runs.expect("small", network, images);
    runs.expect("small-bn", network, images);
    const nlohmann::json results = runs.run();
    check_close(results, true);
    for (const char* name : {"small", "small-bn"}) {
      const auto& metadata = results[name]["metadata"];
      for (const char* key : {"hinge.plan", "hinge.proof", "hinge.normalization", "architecture"}) CHECK(metadata[key] == file.metadata.at(key));
      CHECK_FALSE(metadata.contains("hinge.graph"));
    }
    CHECK(results["small-bn"]["operations"].contains("BatchNormalization"));
  }
}

TEST_CASE("hinge export refuses what it can't write, and writes nothing") {
  const io::Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch.folder() / name).string(); };
  write_network(at("net.safetensors"), tiny_network(1));
  const auto refused = [&](std::vector<std::string> more, int code, const std::string& part) {
    more.insert(more.begin(), {"export", "--weights", at("net.safetensors")});
    const Outcome outcome = run_hinge(more);
    INFO(outcome.output);
    CHECK(outcome.code == code);
    CHECK_THAT(outcome.output, contains(part));
    CHECK(scratch.names() == std::set<std::string>{"net.safetensors"});
  };
  refused({"--format", "onx", "--out", at("a.onnx")}, 2, "did you mean 'onnx'");
  refused({"--format", "onnx"}, 2, "--out is missing");
  refused({"--format", "safetensors", "--keep-batch-norm", "--out", at("a.safetensors")}, 2, "--keep-batch-norm");
  refused({"--input", "32x32x1", "--out", at("a.onnx")}, 2, "1 channels");
  refused({"--input", "big", "--out", at("a.onnx")}, 2, "--input is 'big'");
  refused({"--out", at("nowhere/a.onnx")}, 1, "nowhere/a.onnx");
}
