// MobileNetV2 of width 1 (Sandler et al., CVPR 2018, table 2), as torchvision defines and names it.
//
//   stem   3x3,32 / 2, BN, ReLU6
//   block  1x1,tC, BN, ReLU6, 3x3 depthwise (stride), BN, ReLU6, 1x1,c, BN, + input where the shapes agree   (t expands)
//   end    1x1,1280, BN, ReLU6, average pool over the picture, dropout 0.2, linear
//
// mobilenet_v2 halves a picture five times: 224x224 becomes 7x7. mobilenet_v2_cifar has the same layers without the
// first two of these strides: 32x32 becomes 4x4.
#include "engine/graph/builder.h"
#include "models/registry.h"

namespace hinge::models {
namespace {

using Value = GraphBuilder::Value;

// Table 2: `repeats` blocks that expand `expand` times to `channels`, the first with `stride`.
struct Stage {
  int expand, channels, repeats, stride;
};
constexpr Stage kStages[] = {{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

// torchvision's Sequential(conv, BN, ReLU6): .0, .1 and .2
Value unit(GraphBuilder& g, const std::string& name, Value x, std::int64_t channels, const ConvOptions& conv) {
  const Value y = g.batch_norm(name + ".1", g.conv(name + ".0", x, channels, conv));
  return g.relu(name + ".2", y, {.ceiling = 6.0f});
}

Value block(GraphBuilder& g, const std::string& name, Value x, const Stage& stage, int stride) {
  const std::int64_t wide = g.shape(x).c * stage.expand;
  int index = 0;
  const auto next_name = [&] { return name + ".conv." + std::to_string(index++); };
  Value y = x;
  if (stage.expand != 1) y = unit(g, next_name(), y, wide, {.kernel = 1});
  y = unit(g, next_name(), y, wide, {.kernel = 3, .stride = stride, .groups = static_cast<int>(wide)});
  y = g.conv(next_name(), y, stage.channels, {.kernel = 1});
  y = g.batch_norm(next_name(), y);
  // By stride, not by shape: at one pixel every stride keeps the shape.
  return stride == 1 && g.shape(x).c == stage.channels ? g.add(name + ".add", y, x) : y;
}

Graph mobilenet_v2(bool full_strides, const ModelSettings& settings) {
  GraphBuilder g(settings.name, settings.input);
  Value x = unit(g, "features.0", g.input(), 32, {.kernel = 3, .stride = full_strides ? 2 : 1});
  int index = 1;
  for (const Stage& stage : kStages) {
    for (int i = 0; i < stage.repeats; ++i) {
      const bool strided = i == 0 && (full_strides || stage.channels != 24);
      x = block(g, "features." + std::to_string(index++), x, stage, strided ? stage.stride : 1);
    }
  }
  x = unit(g, "features." + std::to_string(index), x, 1280, {.kernel = 1});
  x = g.flatten("flatten", g.global_average_pool("pool", x));
  if (settings.dropout > 0.0f) x = g.dropout("classifier.0", x, settings.dropout);
  return std::move(g).finish(g.linear("classifier.1", x, settings.classes));
}

// timm counts blocks within stages and gives every layer a word.
std::vector<NameRule> spellings() {
  std::vector<NameRule> rules = {{"conv_stem", "features.0.0"}, {"bn1", "features.0.1"}, {"conv_head", "features.18.0"}, {"bn2", "features.18.1"}, {"classifier", "classifier.1"}};
  const std::vector<std::pair<const char*, const char*>> first = {
      {"conv_dw", "0.0"}, {"bn1", "0.1"}, {"conv_pw", "1"}, {"bn2", "2"}};
  const std::vector<std::pair<const char*, const char*>> expanding = {
      {"conv_pw", "0.0"}, {"bn1", "0.1"}, {"conv_dw", "1.0"}, {"bn2", "1.1"}, {"conv_pwl", "2"}, {"bn3", "3"}};
  int index = 1, number = 0;
  for (const Stage& stage : kStages) {
    for (int i = 0; i < stage.repeats; ++i, ++index) {
      for (const auto& [theirs, ours] : stage.expand == 1 ? first : expanding) {
        rules.push_back({fmt::format("blocks.{}.{}.{}", number, i, theirs), fmt::format("features.{}.conv.{}", index, ours)});
      }
    }
    ++number;
  }
  return rules;
}

const bool registered =
    register_model("mobilenet_v2", {.build = [](const ModelSettings& s) { return mobilenet_v2(true, s); },
                                    .classes = 1000,
                                    .input = {224, 224, 3},
                                    .dropout = 0.2f,
                                    .names = spellings()}) &&
    register_model("mobilenet_v2_cifar", {.build = [](const ModelSettings& s) { return mobilenet_v2(false, s); },
                                          .dropout = 0.2f,
                                          .names = spellings()});

}  // namespace
}  // namespace hinge::models
