// ResNet-164 for CIFAR (He et al., "Identity mappings", ECCV 2016, in the form with the activation behind the add).
//
//   stem   3x3,16, BN, ReLU
//   block  1x1,p, BN, ReLU, 3x3,p (stride), BN, ReLU, 1x1,4p, BN, + shortcut, ReLU       p = 16, 32, 64; no bias
//   end    average pool over the picture, linear
//
// Depth 9n + 2, n blocks a stage. The shortcut is a 1x1 convolution with BN where a stage begins.
#include "engine/graph/builder.h"
#include "models/spellings.h"

namespace hinge::models {
namespace {

using Value = GraphBuilder::Value;

Value bottleneck(GraphBuilder& g, const std::string& name, Value x, std::int64_t planes, int stride) {
  Value y = g.conv(name + ".conv1", x, planes, {.kernel = 1});
  y = g.relu(name + ".relu1", g.batch_norm(name + ".bn1", y));
  y = g.conv(name + ".conv2", y, planes, {.kernel = 3, .stride = stride});
  y = g.relu(name + ".relu2", g.batch_norm(name + ".bn2", y));
  y = g.conv(name + ".conv3", y, 4 * planes, {.kernel = 1});
  Value identity = x;
  if (g.shape(x) != g.shape(y)) {
    identity = g.conv(name + ".shortcut.0", x, 4 * planes, {.kernel = 1, .stride = stride});
    identity = g.batch_norm(name + ".shortcut.1", identity);
  }
  y = g.batch_norm(name + ".bn3", y);
  return g.relu(name + ".relu3", g.add(name + ".add", y, identity));
}

Graph resnet(int depth, const ModelSettings& settings) {
  GraphBuilder g(settings.name, settings.input);
  Value x = g.conv("conv1", g.input(), 16, {.kernel = 3});
  x = g.relu("relu1", g.batch_norm("bn1", x));
  for (int stage = 1; stage <= 3; ++stage) {
    for (int block = 0; block < (depth - 2) / 9; ++block) {
      x = bottleneck(g, "layer" + std::to_string(stage) + "." + std::to_string(block), x, 8ll << stage,
                     stage > 1 && block == 0 ? 2 : 1);
    }
  }
  x = g.flatten("flatten", g.global_average_pool("pool", x));
  return std::move(g).finish(g.linear("linear", x, settings.classes));
}

std::vector<NameRule> spellings() {
  std::vector<NameRule> rules = kCifarResNetNames;
  rules.push_back({"stage_*.*.conv_c", "layer*.*.conv3"});
  rules.push_back({"stage_*.*.bn_c", "layer*.*.bn3"});
  return rules;
}

const bool registered = register_model("resnet164", {.build = [](const ModelSettings& s) { return resnet(164, s); },
                                                     .names = spellings()});

}  // namespace
}  // namespace hinge::models
