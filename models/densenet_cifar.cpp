// DenseNet-40 for CIFAR (Huang et al., CVPR 2017): growth 12, no bottlenecks, no compression.
//
//   stem        3x3,24
//   block       12 layers BN, ReLU, 3x3,12, each concatenated behind what it read     three blocks
//   transition  BN, ReLU, 1x1 (same width), 2x2 average pool                          between blocks
//   end         BN, ReLU, average pool over the picture, linear                       no bias in convolutions
#include "engine/graph/builder.h"
#include "models/registry.h"

namespace hinge::models {
namespace {

using Value = GraphBuilder::Value;
constexpr int kGrowth = 12, kLayers = 12;

Graph densenet40(const ModelSettings& settings) {
  GraphBuilder g(settings.name, settings.input);
  Value x = g.conv("conv1", g.input(), 2 * kGrowth, {.kernel = 3});
  for (int block = 1; block <= 3; ++block) {
    for (int layer = 0; layer < kLayers; ++layer) {
      const std::string name = "dense" + std::to_string(block) + "." + std::to_string(layer);
      Value y = g.relu(name + ".relu", g.batch_norm(name + ".bn1", x));
      y = g.conv(name + ".conv1", y, kGrowth, {.kernel = 3});
      x = g.concat(name + ".concat", {x, y});
    }
    if (block == 3) break;
    const std::string name = "trans" + std::to_string(block);
    Value y = g.relu(name + ".relu", g.batch_norm(name + ".bn1", x));
    y = g.conv(name + ".conv1", y, g.shape(x).c, {.kernel = 1});
    x = g.average_pool(name + ".pool", y, {.window = 2, .stride = 2});
  }
  x = g.relu("relu", g.batch_norm("bn", x));
  x = g.flatten("flatten", g.global_average_pool("pool", x));
  return std::move(g).finish(g.linear("linear", x, settings.classes));
}

const bool registered = register_model("densenet40", {.build = densenet40,
                                                      .names = {{"fc", "linear"},
                                                                {"classifier", "linear"},
                                                                {"bn1", "bn"},
                                                                {"block*.layer.*.bn1", "dense*.*.bn1"},
                                                                {"block*.layer.*.conv1", "dense*.*.conv1"},
                                                                {"trans*.bn", "trans*.bn1"},
                                                                {"trans*.conv", "trans*.conv1"}}});

}  // namespace
}  // namespace hinge::models
