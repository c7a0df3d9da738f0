// State dicts as others write them: other words for the layers, wrappers, counters, other classes and channels.
#include "models/state_dict.h"

#include <algorithm>

#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// Replaces the first `from` by `to` where it is there.
std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

// What PyTorch would have saved of `graph`: random values, counters, every name passed through `spell`.
template <class Spell>
ModelFile saved(const Graph& graph, Spell spell) {
  ModelFile file;
  std::uint64_t seed = 1;
  for (const auto& [name, shape] : models::state_dict_shapes(graph)) {
    file.tensors.emplace(spell(name), random_tensor(shape, ++seed, 0.5f, 1.0f));
    if (name.ends_with(".running_mean")) {
      file.tensors.emplace(spell(replaced(name, "running_mean", "num_batches_tracked")), Tensor::zeros({}, DType::kInt64));
    }
  }
  return file;
}

std::string as_ours(const std::string& name) { return name; }

bool holds(const std::vector<std::string>& list, const std::string& text) {
  return std::ranges::find(list, text) != list.end();
}

std::string error_message(const ModelFile& file, const std::string& model, const models::ModelOptions& options = {}) {
  try {
    models::network_from_state_dict(file, model, options, "some/file");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a rule's stars stand for numbers, and only a whole name fits") {
  const std::vector<models::NameRule> rules = {{"fc", "linear"}, {"stage_*.*.conv_a", "layer*.*.conv1"}};
  CHECK(models::translated("fc.weight", rules) == "linear.weight");
  CHECK(models::translated("stage_2.17.conv_a.weight", rules) == "layer2.17.conv1.weight");
  for (const char* other : {"fc1.weight", "xfc.weight", "fc.0.weight", "stage_.0.conv_a.weight", "stage_a.0.conv_a.weight",
                            "stage_1.0.conv_ab.weight", "fc", "", ".weight", "stage_1.0"}) {
    CHECK(models::translated(other, rules) == other);
  }
}

TEST_CASE("every network loads from its own names, whatever wraps them, with classes and channels of the file") {
  for (const std::string& name : models::names()) {
    INFO(name);
    if (name == "wrn-16-10" || name == "resnet101" || name == "resnet34") continue;  // 17 to 45 million numbers more
    const models::Model& model = models::find(name);
    models::ModelOptions options{.classes = 7, .input = {model.input.h, model.input.w, 1}};
    for (const std::string prefix : {"", "module.", "model.module."}) {
      INFO(prefix);
      const Graph graph = models::build(name, options);
      const ModelFile file = saved(graph, [&](const std::string& own) { return prefix + own; });
      const Network network = models::network_from_state_dict(file, name, {}, "file");
      CHECK(network.graph() == graph);
      for (const auto& [own, tensor] : network.values()) {
        const Tensor& given = file.tensors.at(prefix + own);
        if (!same_bytes(tensor, given.shape().rank() == 4 ? filters_from_file_layout(given) : given)) FAIL(own);
      }
      if (name.size() > 8) break;  // the large ones once
    }
  }
}

TEST_CASE("other spellings of the CIFAR ResNets load: fc and downsample, and conv_a in stage_1") {
  const auto torchvision = [](const std::string& name) { return replaced(replaced(name, "linear", "fc"), "shortcut", "downsample"); };
  const auto stages = [](const std::string& name) {
    const std::size_t dot = name.rfind('.');
    const std::string layer = name.substr(0, dot), rest = name.substr(dot);
    if (layer == "conv1") return "conv_1_3x3" + rest;
    if (layer == "bn1") return "bn_1" + rest;
    if (layer == "linear") return "classifier" + rest;
    const std::string words = replaced(layer, "layer", "stage_");
    return words.substr(0, words.size() - 1) + (words.back() == '1' ? "_a" : "_b") + rest;
  };
  for (const char* shortcut : {"A-stride", "C"}) {
    const Graph graph = models::build("resnet20", {.shortcut = shortcut});
    CHECK(models::network_from_state_dict(saved(graph, torchvision), "resnet20", {}, "file").graph() == graph);
    CHECK(models::network_from_state_dict(saved(graph, as_ours), "resnet20", {}, "file").graph() == graph);
  }
  const Graph plain = models::build("resnet20", {.shortcut = "A-stride"});
  const ModelFile file = saved(plain, stages);
  REQUIRE(file.tensors.contains("stage_2.0.conv_b.weight"));
  CHECK(models::network_from_state_dict(file, "resnet20", {}, "file").graph() == plain);
}

TEST_CASE("timm's MobileNetV2 loads, every layer where its shape and place say") {
  const Graph graph = models::build("mobilenet_v2", {.classes = 5});
  // Ours to timm's: blocks are counted within the stages of table 2.
  std::map<std::string, std::string> theirs = {{"features.0.0", "conv_stem"}, {"features.0.1", "bn1"}, {"features.18.0", "conv_head"}, {"features.18.1", "bn2"}, {"classifier.1", "classifier"}};
  int feature = 1;
  const int repeats[] = {1, 2, 3, 4, 3, 3, 1};
  for (int stage = 0; stage < 7; ++stage) {
    for (int i = 0; i < repeats[stage]; ++i, ++feature) {
      const std::string from = fmt::format("features.{}.conv.", feature), to = fmt::format("blocks.{}.{}.", stage, i);
      if (stage == 0) {
        theirs[from + "0.0"] = to + "conv_dw", theirs[from + "0.1"] = to + "bn1", theirs[from + "1"] = to + "conv_pw", theirs[from + "2"] = to + "bn2";
      } else {
        theirs[from + "0.0"] = to + "conv_pw", theirs[from + "0.1"] = to + "bn1", theirs[from + "1.0"] = to + "conv_dw";
        theirs[from + "1.1"] = to + "bn2", theirs[from + "2"] = to + "conv_pwl", theirs[from + "3"] = to + "bn3";
      }
    }
  }
  const ModelFile file = saved(graph, [&](const std::string& name) {
    const std::size_t dot = name.rfind('.');
    return theirs.at(name.substr(0, dot)) + name.substr(dot);
  });
  const Network network = models::network_from_state_dict(file, "mobilenet_v2", {}, "file");
  CHECK(network.graph() == graph);
  CHECK(same_bytes(network.parameter("features.7.conv.1.1.weight").value, file.tensors.at("blocks.3.0.bn2.weight")));
}

TEST_CASE("what doesn't fit is listed with counts, names and both shapes") {
  const Graph graph = models::build("resnet8", {.shortcut = "A-stride"});
  ModelFile file = saved(graph, as_ours);
  const std::size_t all = models::state_dict_shapes(graph).size();
  file.tensors.erase("bn1.weight");
  file.tensors.emplace("head.bias", Tensor::zeros({4}));
  file.tensors.at("layer1.0.conv1.weight") = Tensor::zeros({16, 16, 1, 1});
  file.tensors.at("bn1.bias") = Tensor::zeros({16}, DType::kFloat64);
  const std::string message = error_message(file, "resnet8", {.shortcut = "A-stride"});
  for (const std::string& part : {std::string("some/file"), std::string("resnet8"), fmt::format("matched: {} of {}", all - 3, all),
                                  std::string("missing: bn1.weight [16]"), std::string("not in the network: head.bias"),
                                  std::string("layer1.0.conv1.weight is F32 [16, 16, 1, 1], expected F32 [16, 16, 3, 3]"),
                                  std::string("bn1.bias is F64 [16], expected F32 [16]")}) {
    CHECK_THAT(message, contains(part));
  }
  // A long list is cut, with the rest counted; and the model that does fit is named.
  const std::string other = error_message(saved(models::build("resnet56", {.shortcut = "C"}), as_ours), "resnet8");
  CHECK_THAT(other, contains("more") && contains("they fit --model resnet56 --shortcut C"));
  CHECK(other.size() <= 3000);
}

TEST_CASE("two entries for one layer are an error, not a choice") {
  ModelFile file = saved(models::build("resnet8", {.shortcut = "A-stride"}), as_ours);
  file.tensors.emplace("fc.weight", file.tensors.at("linear.weight"));
  CHECK_THAT(error_message(file, "resnet8"), contains("not in the network: fc.weight"));
}

TEST_CASE("a file tells which models it fits, by names and by shapes") {
  for (const char* shortcut : {"A-pool", "A-stride", "C"}) {
    const ModelFile file = saved(models::build("resnet20", {.classes = 100, .shortcut = shortcut}), as_ours);
    CHECK(models::models_that_fit(file) == std::vector<std::string>{std::string("--model resnet20 --shortcut ") + shortcut});
  }
  const ModelFile file = saved(models::build("densenet40", {.classes = 100}), [n = 0](const std::string& name) mutable {
    return fmt::format("layer_{}{}", n++, name.substr(name.rfind('.')));
  });
  CHECK(models::models_that_fit(file).empty());
  CHECK(models::models_of_same_shapes(file) == std::vector<std::string>{"--model densenet40"});
  const ModelFile mobile = saved(models::build("mobilenet_v2", {}), as_ours);
  CHECK(holds(models::models_that_fit(mobile), "--model mobilenet_v2"));
  CHECK(holds(models::models_that_fit(mobile), "--model mobilenet_v2_cifar"));
  ModelFile strange;
  CHECK(models::models_that_fit(strange).empty());
  CHECK(models::models_of_same_shapes(strange).empty());
  strange.tensors = {{"conv1.weight", Tensor::zeros({1 << 20, 0, 1, 1})}, {"linear.weight", Tensor::zeros({3'000'000, 1})}, {"fc.weight", Tensor::zeros({})}};
  CHECK(models::models_that_fit(strange).empty());
  CHECK(models::models_of_same_shapes(strange).empty());
}

TEST_CASE("a name that is ours stays ours, even where it is another's word for another layer") {
  const Graph graph = models::build("resnet8", {.shortcut = "A-stride"});
  const std::vector<models::NameRule> rules = {{"conv1", "layer1.0.conv1"}, {"bn1", "linear"}};
  CHECK(models::match(saved(graph, as_ours), graph, rules).complete());
}
