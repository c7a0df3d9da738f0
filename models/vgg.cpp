// VGG-16 for CIFAR (Simonyan & Zisserman, ICLR 2015, configuration D) with BatchNorm, numbered as torchvision's vgg16_bn.
//
//   features    13 3x3 convolutions with bias, each BN, ReLU:  64 64 M 128 128 M 256x3 M 512x3 M 512x3 M   M = 2x2 max pool
//   classifier  three linear layers 512-512-classes with nothing between them (the form of Li et al., CVPR 2020)
#include "engine/graph/builder.h"
#include "models/registry.h"

namespace hinge::models {
namespace {

constexpr int kPool = 0;
constexpr int kLayers[] = {64, 64, kPool, 128, 128, kPool, 256, 256, 256, kPool, 512, 512, 512, kPool, 512, 512, 512, kPool};

Graph vgg16(const ModelSettings& settings) {
  GraphBuilder g(settings.name, settings.input);
  GraphBuilder::Value x = g.input();
  int index = 0;
  const auto next_name = [&index] { return "features." + std::to_string(index++); };
  for (const int channels : kLayers) {
    if (channels == kPool) {
      x = g.max_pool(next_name(), x, {.window = 2, .stride = 2});
      continue;
    }
    x = g.conv(next_name(), x, channels, {.kernel = 3, .bias = true});
    x = g.batch_norm(next_name(), x);
    x = g.relu(next_name(), x);
  }
  x = g.flatten("flatten", x);
  x = g.linear("classifier.0", x, 512);
  x = g.linear("classifier.1", x, 512);
  return std::move(g).finish(g.linear("classifier.2", x, settings.classes));
}

const bool registered = register_model("vgg16", {.build = vgg16});

}  // namespace
}  // namespace hinge::models
