// Names and shapes of torchvision's state dicts, from the rules of its definitions.
#include <map>

#include "models/state_dict.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

using Names = std::map<std::string, Shape>;

void add_norm(Names& names, const std::string& name, std::int64_t channels) {
  for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) names[name + part] = Shape{channels};
}

Names resnet_names(const std::vector<int>& blocks, bool bottleneck) {
  Names names = {{"conv1.weight", {64, 3, 7, 7}}};
  add_norm(names, "bn1", 64);
  std::int64_t in = 64;
  for (std::size_t layer = 0; layer < 4; ++layer) {
    const std::int64_t planes = 64ll << layer, out = bottleneck ? planes * 4 : planes;
    for (int i = 0; i < blocks[layer]; ++i, in = out) {
      const std::string at = fmt::format("layer{}.{}.", layer + 1, i);
      names[at + "conv1.weight"] = bottleneck ? Shape{planes, in, 1, 1} : Shape{planes, in, 3, 3};
      names[at + "conv2.weight"] = Shape{planes, planes, 3, 3};
      add_norm(names, at + "bn1", planes);
      add_norm(names, at + "bn2", planes);
      if (bottleneck) names[at + "conv3.weight"] = Shape{out, planes, 1, 1}, add_norm(names, at + "bn3", out);
      if (in == out) continue;  // every stage with a stride widens too
      names[at + "downsample.0.weight"] = Shape{out, in, 1, 1};
      add_norm(names, at + "downsample.1", out);
    }
  }
  names["fc.weight"] = Shape{1000, in};
  names["fc.bias"] = Shape{1000};
  return names;
}

// settings: expansion t, channels c, repeats n
Names mobilenet_v2_names() {
  Names names;
  const auto conv_norm = [&](const std::string& conv, const std::string& norm, const Shape& shape) {
    names[conv + ".weight"] = shape;
    add_norm(names, norm, shape[0]);
  };
  conv_norm("features.0.0", "features.0.1", {32, 3, 3, 3});
  std::int64_t in = 32;
  int feature = 1;
  for (const auto& [t, c, n] : std::vector<std::array<int, 3>>{
           {1, 16, 1}, {6, 24, 2}, {6, 32, 3}, {6, 64, 4}, {6, 96, 3}, {6, 160, 3}, {6, 320, 1}}) {
    for (int i = 0; i < n; ++i, in = c, ++feature) {
      const std::string at = fmt::format("features.{}.conv.", feature);
      const std::int64_t hidden = in * t;
      int layer = 0;
      if (t != 1) conv_norm(at + "0.0", at + "0.1", {hidden, in, 1, 1}), ++layer;
      conv_norm(fmt::format("{}{}.0", at, layer), fmt::format("{}{}.1", at, layer), {hidden, 1, 3, 3});
      conv_norm(fmt::format("{}{}", at, layer + 1), fmt::format("{}{}", at, layer + 2), {c, hidden, 1, 1});
    }
  }
  conv_norm("features.18.0", "features.18.1", {1280, in, 1, 1});
  names["classifier.1.weight"] = Shape{1000, 1280};
  names["classifier.1.bias"] = Shape{1000};
  return names;
}

// vgg16_bn's features; the classifier is the paper's.
Names vgg16_names() {
  Names names;
  std::int64_t in = 3;
  int index = 0;
  for (const int channels : {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0}) {
    if (channels == 0) {
      ++index;
      continue;
    }
    names[fmt::format("features.{}.weight", index)] = Shape{channels, in, 3, 3};
    names[fmt::format("features.{}.bias", index)] = Shape{channels};
    add_norm(names, fmt::format("features.{}", index + 1), channels);
    in = channels, index += 3;
  }
  for (int i = 0; i < 3; ++i) {
    const std::int64_t out = i == 2 ? 10 : 512;
    names[fmt::format("classifier.{}.weight", i)] = Shape{out, 512};
    names[fmt::format("classifier.{}.bias", i)] = Shape{out};
  }
  return names;
}

void check_names(const std::string& model, const Names& want) {
  INFO(model);
  const Names got = models::state_dict_shapes(models::build(model, {}));
  for (const auto& [name, shape] : want) {
    INFO(name);
    REQUIRE(got.contains(name));
    CHECK(got.at(name) == shape);
  }
  for (const auto& [name, shape] : got) {
    INFO(name);
    CHECK(want.contains(name));
  }
}

}  // namespace

TEST_CASE("torchvision's networks have torchvision's names and shapes") {
  check_names("resnet18", resnet_names({2, 2, 2, 2}, false));
  check_names("resnet34", resnet_names({3, 4, 6, 3}, false));
  check_names("resnet50", resnet_names({3, 4, 6, 3}, true));
  check_names("resnet101", resnet_names({3, 4, 23, 3}, true));
  check_names("mobilenet_v2", mobilenet_v2_names());
  check_names("vgg16", vgg16_names());
}

TEST_CASE("the state dict of a network is what the network holds") {
  for (const char* model : {"resnet20", "resnext20", "densenet40"}) {
    const Graph graph = models::build(model, {});
    std::map<std::string, Shape> held;
    for (const auto& [name, tensor] : Network(graph).values()) {
      held[name] = tensor.shape().rank() == 4 ? filters_to_file_layout(tensor).shape() : tensor.shape();
    }
    CHECK(held == models::state_dict_shapes(graph));
  }
}
