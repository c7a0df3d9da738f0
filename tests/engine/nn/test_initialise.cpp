#include <algorithm>
#include <cmath>

#include "engine/nn/network.h"
#include "models/registry.h"
#include "tests/support/catch.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

Network initialised(const std::string& model, std::uint64_t seed,
                    const std::string& shortcut = "A-pool") {
  Network network(models::build(model, {.shortcut = shortcut}));
  initialise(network, seed);
  return network;
}
const Tensor& value(const Network& network, const std::string& name) {
  return network.parameter(name).value;
}

}  // namespace

TEST_CASE("the first weights are a function of seed and name alone") {
  const Network a = initialised("resnet20", 1), again = initialised("resnet20", 1);
  for (const auto& [name, tensor] : a.values()) CHECK(same_bytes(tensor, again.values().at(name)));
  // Another network, other layers before it, the same name and shape: the same weights.
  const Network deep = initialised("resnet56", 1, "C");
  CHECK(same_bytes(value(a, "layer3.2.conv1.weight"), value(deep, "layer3.2.conv1.weight")));
  CHECK(same_bytes(value(a, "linear.weight"), value(deep, "linear.weight")));

  const Network other = initialised("resnet20", 2);
  CHECK_FALSE(same_bytes(value(a, "conv1.weight"), value(other, "conv1.weight")));
  CHECK_FALSE(same_bytes(value(a, "layer1.0.conv1.weight"), value(a, "layer1.0.conv2.weight")));
}

TEST_CASE(
    "convolutions start normal with variance 2 / fan-in, linear layers uniform in 1 / sqrt(C)") {
  const Network network = initialised("resnet56", 3);
  for (const auto& [name, tensor] : network.values()) {
    if (!network.has_parameter(name)) continue;
    INFO(name);
    const ParameterKind kind = network.parameter(name).kind;
    const double size = static_cast<double>(tensor.size());
    double mean = 0.0, variance = 0.0, fourth = 0.0, largest = 0.0;
    for (float v : tensor.values()) mean += static_cast<double>(v) / size;
    for (float v : tensor.values()) {
      const double centred = static_cast<double>(v) - mean;
      variance += centred * centred / size;
      fourth += centred * centred * centred * centred / size;
      largest = std::max(largest, std::fabs(static_cast<double>(v)));
    }
    if (kind == ParameterKind::kConvWeight) {
      const double want = 2.0 / static_cast<double>(tensor.dim(1) * tensor.dim(2) * tensor.dim(3));
      // Five standard deviations of each estimate.
      CHECK(std::fabs(mean) <= 5.0 * std::sqrt(want / size));
      CHECK(std::fabs(variance - want) <= 5.0 * want * std::sqrt(2.0 / size));
      CHECK(std::fabs(fourth / (want * want) - 3.0) <= 5.0 * std::sqrt(96.0 / size));
    } else if (kind == ParameterKind::kLinearWeight) {
      const double bound = 1.0 / std::sqrt(64.0);
      CHECK(largest <= bound);
      CHECK(largest >= 0.98 * bound);
      CHECK(std::fabs(variance - bound * bound / 3.0) <=
            5.0 * bound * bound * std::sqrt(4.0 / 45.0 / size));
    } else {
      const float want = kind == ParameterKind::kNormScale ? 1.0f : 0.0f;
      CHECK(same_bytes(tensor, Tensor::full(tensor.shape(), want)));
    }
  }
}
