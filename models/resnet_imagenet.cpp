// ResNet-18, 34, 50 and 101 for ImageNet (He et al., CVPR 2016, table 1), as torchvision defines and names them.
//
//   stem        7x7,64 / 2, BN, ReLU, 3x3 max pool / 2
//   basic       3x3,p (stride), BN, ReLU, 3x3,p, BN, + shortcut, ReLU                      ResNet-18, 34
//   bottleneck  1x1,p, BN, ReLU, 3x3,p (stride), BN, ReLU, 1x1,4p, BN, + shortcut, ReLU    ResNet-50, 101
//   end         average pool over the picture, linear                                       p = 64, 128, 256, 512; no bias
//
// The shortcut ("downsample") is a 1x1 convolution with BN where shapes differ. The stride is in the 3x3, not in the
// first 1x1 as in the paper.
#include <array>

#include "engine/graph/builder.h"
#include "models/registry.h"

namespace hinge::models {
namespace {

using Value = GraphBuilder::Value;

struct Layout {
  std::array<int, 4> blocks;
  bool bottleneck;
};

Value block(GraphBuilder& g, const std::string& name, bool bottleneck, Value x, std::int64_t planes, int stride) {
  const std::int64_t out = bottleneck ? 4 * planes : planes;
  Value y = x;
  if (bottleneck) {
    y = g.conv(name + ".conv1", y, planes, {.kernel = 1});
    y = g.relu(name + ".relu1", g.batch_norm(name + ".bn1", y));
    y = g.conv(name + ".conv2", y, planes, {.kernel = 3, .stride = stride});
    y = g.relu(name + ".relu2", g.batch_norm(name + ".bn2", y));
    y = g.conv(name + ".conv3", y, out, {.kernel = 1});
  } else {
    y = g.conv(name + ".conv1", y, planes, {.kernel = 3, .stride = stride});
    y = g.relu(name + ".relu1", g.batch_norm(name + ".bn1", y));
    y = g.conv(name + ".conv2", y, out, {.kernel = 3});
  }
  Value identity = x;
  if (stride != 1 || g.shape(x).c != out) {
    identity = g.conv(name + ".downsample.0", x, out, {.kernel = 1, .stride = stride});
    identity = g.batch_norm(name + ".downsample.1", identity);
  }
  y = g.batch_norm(name + (bottleneck ? ".bn3" : ".bn2"), y);
  return g.relu(name + (bottleneck ? ".relu3" : ".relu2"), g.add(name + ".add", y, identity));
}

Graph resnet(const Layout& layout, const ModelSettings& settings) {
  GraphBuilder g(settings.name, settings.input);
  Value x = g.conv("conv1", g.input(), 64, {.kernel = 7, .stride = 2});
  x = g.relu("relu", g.batch_norm("bn1", x));
  x = g.max_pool("maxpool", x, {.window = 3, .stride = 2, .padding = 1});
  for (int stage = 0; stage < 4; ++stage) {
    for (int i = 0; i < layout.blocks[static_cast<std::size_t>(stage)]; ++i) {
      x = block(g, "layer" + std::to_string(stage + 1) + "." + std::to_string(i), layout.bottleneck, x, 64ll << stage,
                stage > 0 && i == 0 ? 2 : 1);
    }
  }
  x = g.flatten("flatten", g.global_average_pool("avgpool", x));
  return std::move(g).finish(g.linear("fc", x, settings.classes));
}

bool add(const std::string& name, const Layout& layout) {
  return register_model(name, {.build = [layout](const ModelSettings& settings) { return resnet(layout, settings); },
                               .classes = 1000,
                               .input = {224, 224, 3},
                               .names = {{"linear", "fc"},
                                         {"classifier", "fc"},
                                         {"head.fc", "fc"},
                                         {"layer*.*.shortcut.*", "layer*.*.downsample.*"}}});
}

const bool registered = add("resnet18", {{2, 2, 2, 2}, false}) && add("resnet34", {{3, 4, 6, 3}, false}) &&
                        add("resnet50", {{3, 4, 6, 3}, true}) && add("resnet101", {{3, 4, 23, 3}, true});

}  // namespace
}  // namespace hinge::models
