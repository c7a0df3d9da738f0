// Wide ResNet 16-10 for CIFAR (Zagoruyko & Komodakis, BMVC 2016): depth 6n + 4, 10 times as wide, activation first.
//
//   stem   3x3,16
//   block  BN, ReLU, 3x3,w, (dropout), BN, ReLU, 3x3,w (stride), + shortcut       w = 160, 320, 640
//   end    BN, ReLU, average pool over the picture, linear
//
// All convolutions have a bias, and the stride is in the second one: the form of Li et al. (CVPR 2020). The shortcut is
// a 1x1 convolution of the block's input where shapes differ. The reference calls ReLU as a function here, so its
// operation count leaves it out.
#include "engine/graph/builder.h"
#include "models/registry.h"

namespace hinge::models {
namespace {

using Value = GraphBuilder::Value;

Value normalised(GraphBuilder& g, const std::string& prefix, const std::string& index, Value x) {
  return g.relu(prefix + "relu" + index, g.batch_norm(prefix + "bn" + index, x), {.functional = true});
}

Value block(GraphBuilder& g, const std::string& name, Value x, std::int64_t width, int stride, float dropout) {
  Value y = normalised(g, name + ".", "1", x);
  y = g.conv(name + ".conv1", y, width, {.kernel = 3, .bias = true});
  if (dropout > 0.0f) y = g.dropout(name + ".dropout", y, dropout);
  y = normalised(g, name + ".", "2", y);
  y = g.conv(name + ".conv2", y, width, {.kernel = 3, .stride = stride, .bias = true});
  const Value identity = g.shape(x) == g.shape(y)
                             ? x
                             : g.conv(name + ".shortcut.0", x, width, {.kernel = 1, .stride = stride, .bias = true});
  return g.add(name + ".add", y, identity);
}

Graph wide_resnet(int depth, int widen, const ModelSettings& settings) {
  GraphBuilder g(settings.name, settings.input);
  Value x = g.conv("conv1", g.input(), 16, {.kernel = 3, .bias = true});
  for (int stage = 1; stage <= 3; ++stage) {
    for (int i = 0; i < (depth - 4) / 6; ++i) {
      x = block(g, "layer" + std::to_string(stage) + "." + std::to_string(i), x, (8ll << stage) * widen,
                stage > 1 && i == 0 ? 2 : 1, settings.dropout);
    }
  }
  x = normalised(g, "", "1", x);
  x = g.flatten("flatten", g.global_average_pool("pool", x));
  return std::move(g).finish(g.linear("linear", x, settings.classes));
}

const bool registered =
    register_model("wrn-16-10", {.build = [](const ModelSettings& s) { return wide_resnet(16, 10, s); },
                                 .dropout = 0.0f,
                                 .names = {{"fc", "linear"},
                                           {"classifier", "linear"},
                                           {"layer*.*.downsample.*", "layer*.*.shortcut.*"}}});

}  // namespace
}  // namespace hinge::models
