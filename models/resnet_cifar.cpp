// The CIFAR ResNets (He et al., CVPR 2016, section 4.2): depth 6n + 2, three stages of n basic blocks.
//
//   stem   3x3,16, BN, ReLU
//   block  3x3 (stride), BN, ReLU, 3x3, BN, + shortcut, ReLU         16, 32, 64 channels; no bias
//   end    average pool over the picture, linear
//
// Shortcut where a stage begins: "A-pool" 2x2 average pool and zero channels on both sides (stem with bias: the form
// of Li et al., CVPR 2020); "A-stride" every second pixel instead (no bias: the usual CIFAR ResNet); "C" a 1x1
// convolution with BN (stem with bias).
#include "engine/graph/builder.h"
#include "models/spellings.h"

namespace hinge::models {
namespace {

using Value = GraphBuilder::Value;

Value shortcut(GraphBuilder& g, const std::string& name, const std::string& kind, Value x,
               std::int64_t channels, int stride) {
  const std::int64_t in = g.shape(x).c;
  if (in == channels && stride == 1) return x;
  if (kind == "C") {
    const Value conv = g.conv(name + ".shortcut.0", x, channels, {.kernel = 1, .stride = stride, .padding = 0});
    return g.batch_norm(name + ".shortcut.1", conv);
  }
  const std::int64_t before = (channels - in) / 2;
  return g.shortcut_a(name + ".shortcut", x,
                      {.before = before, .after = channels - in - before, .pool = kind == "A-pool"});
}

Value basic_block(GraphBuilder& g, const std::string& name, const std::string& kind, Value x,
                  std::int64_t channels, int stride) {
  Value y = g.conv(name + ".conv1", x, channels, {.kernel = 3, .stride = stride});
  y = g.batch_norm(name + ".bn1", y);
  y = g.relu(name + ".relu1", y);
  y = g.conv(name + ".conv2", y, channels, {.kernel = 3});
  const Value identity = shortcut(g, name, kind, x, channels, stride);
  y = g.batch_norm(name + ".bn2", y);
  y = g.add(name + ".add", y, identity);
  return g.relu(name + ".relu2", y);
}

Graph resnet(int depth, const ModelSettings& settings) {
  const std::string& kind = settings.shortcut;
  GraphBuilder g(settings.name, settings.input);
  Value x = g.conv("conv1", g.input(), 16, {.kernel = 3, .bias = kind != "A-stride"});
  x = g.batch_norm("bn1", x);
  x = g.relu("relu1", x);
  const int blocks = (depth - 2) / 6;
  for (int stage = 1; stage <= 3; ++stage) {
    for (int block = 0; block < blocks; ++block) {
      const int stride = stage > 1 && block == 0 ? 2 : 1;
      const std::string name = "layer" + std::to_string(stage) + "." + std::to_string(block);
      x = basic_block(g, name, kind, x, 8ll << stage, stride);
    }
  }
  x = g.global_average_pool("pool", x);
  x = g.flatten("flatten", x);
  return std::move(g).finish(g.linear("linear", x, settings.classes));
}

const bool registered = [] {
  for (int depth : {8, 14, 20, 32, 44, 56, 110}) {
    register_model("resnet" + std::to_string(depth),
                   {.build = [depth](const ModelSettings& settings) { return resnet(depth, settings); },
                    .shortcuts = {"A-pool", "A-stride", "C"},
                    .names = kCifarResNetNames});
  }
  return true;
}();

}  // namespace
}  // namespace hinge::models
