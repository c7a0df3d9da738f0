// ResNeXt-20 and 164 for CIFAR (Xie et al., CVPR 2017) with 32 groups of one channel in the first stage (32 x 1).
//
//   stem   1x1,64, BN, ReLU
//   block  1x1,w, BN, ReLU, 3x3,w in 32 groups (stride), BN, ReLU, 1x1,2w, BN, + shortcut, ReLU    w = 32, 64, 128
//   end    average pool over the picture, linear
//
// Depth 9n + 2, n blocks a stage, no bias. The shortcut is a 1x1 convolution with BN where shapes differ. The reference
// calls ReLU as a function here, so its operation count leaves it out.
#include "engine/graph/builder.h"
#include "models/spellings.h"

namespace hinge::models {
namespace {

using Value = GraphBuilder::Value;
constexpr int kGroups = 32;

Value relu(GraphBuilder& g, const std::string& name, Value x) { return g.relu(name, x, {.functional = true}); }

Value block(GraphBuilder& g, const std::string& name, Value x, std::int64_t width, int stride) {
  Value y = g.conv(name + ".conv1", x, width, {.kernel = 1});
  y = relu(g, name + ".relu1", g.batch_norm(name + ".bn1", y));
  y = g.conv(name + ".conv2", y, width, {.kernel = 3, .stride = stride, .groups = kGroups});
  y = relu(g, name + ".relu2", g.batch_norm(name + ".bn2", y));
  y = g.conv(name + ".conv3", y, 2 * width, {.kernel = 1});
  Value identity = x;
  if (g.shape(x) != g.shape(y)) {
    identity = g.conv(name + ".shortcut.0", x, 2 * width, {.kernel = 1, .stride = stride});
    identity = g.batch_norm(name + ".shortcut.1", identity);
  }
  y = g.batch_norm(name + ".bn3", y);
  return relu(g, name + ".relu3", g.add(name + ".add", y, identity));
}

Graph resnext(int depth, const ModelSettings& settings) {
  GraphBuilder g(settings.name, settings.input);
  Value x = g.conv("conv1", g.input(), 64, {.kernel = 1});
  x = relu(g, "relu1", g.batch_norm("bn1", x));
  for (int stage = 1; stage <= 3; ++stage) {
    for (int i = 0; i < (depth - 2) / 9; ++i) {
      x = block(g, "layer" + std::to_string(stage) + "." + std::to_string(i), x, 16ll << stage,
                stage > 1 && i == 0 ? 2 : 1);
    }
  }
  x = g.flatten("flatten", g.global_average_pool("pool", x));
  return std::move(g).finish(g.linear("linear", x, settings.classes));
}

std::vector<NameRule> spellings() {
  std::vector<NameRule> rules = kCifarResNetNames;
  const std::pair<const char*, const char*> inside[] = {{"conv_reduce", "conv1"}, {"bn_reduce", "bn1"}, {"conv_conv", "conv2"}, {"bn", "bn2"}, {"conv_expand", "conv3"}, {"bn_expand", "bn3"}};
  for (const auto& [theirs, ours] : inside) {
    rules.push_back({std::string("layer*.*.") + theirs, std::string("layer*.*.") + ours});
  }
  return rules;
}

const bool registered = [] {
  for (int depth : {20, 164}) {
    register_model("resnext" + std::to_string(depth),
                   {.build = [depth](const ModelSettings& settings) { return resnext(depth, settings); },
                    .names = spellings()});
  }
  return true;
}();

}  // namespace
}  // namespace hinge::models
