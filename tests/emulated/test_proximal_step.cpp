// The optimiser of the search on the emulated GPU: SGD and the proximal step of a whole network, against the CPU's.
#include <cmath>

#include "compress/proximal.h"
#include "engine/core/accelerator.h"
#include "engine/optim/sgd.h"
#include "models/registry.h"
#include "tests/emulated/schedules.h"
#include "tests/support/random.h"

using namespace hinge;
using namespace hinge::compress;
using namespace hinge::testing;

namespace {

const Device kGpuDevice{Device::Kind::kCuda, 0};

Network tiny_resnet() {
  Graph graph = models::build("resnet8", {.shortcut = "A-stride"});
  graph.input.h = graph.input.w = 8;
  Network network(std::move(graph));
  initialise(network, 5);
  return network;
}

// The filters of every convolution, and the input channels of one of them too: that one is taken in a second launch.
std::vector<PenalisedSet> sets_of(Network& network) {
  std::vector<PenalisedSet> sets;
  for (Parameter* parameter : network.parameters()) {
    if (parameter->kind != ParameterKind::kConvWeight) continue;
    const std::int64_t k = parameter->value.dim(0), size = parameter->value.size() / k;
    float* data = parameter->value.mutable_data();
    sets.push_back({{{data, k, size, size, 1}}, {parameter}, 0.5 + 0.1 * static_cast<double>(sets.size())});
    if (sets.size() == 3) sets.push_back({{{data, size, k, 1, size}}, {parameter}, 0.3});
  }
  return sets;
}

struct Outcome {
  std::map<std::string, Tensor> values;
  double penalty = 0.0;
  std::int64_t zeros = 0;
};

Outcome run(const Network& start, Device device, const std::string& regularizer) {
  Network network = start.clone();
  network.move_to(device);
  ProximalOptimizer optimizer(std::make_unique<Sgd>(SgdConfig{}), make_regularizer(regularizer), sets_of(network));
  optimizer.set_lambda(1.0);
  const std::vector<Parameter*> parameters = network.parameters();
  for (int step = 0; step < 3; ++step) {
    std::vector<Tensor> gradients;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      gradients.push_back(random_tensor(parameters[i]->value.shape(), static_cast<std::uint64_t>(step) * 100 + i, -0.1f, 0.1f).to(device));
    }
    optimizer.step(parameters, gradients, 0.1f, stream_of(device));
  }
  Outcome outcome;
  for (const auto& [name, tensor] : network.values()) outcome.values.emplace(name, tensor.to(Device{}));
  for (const auto& [name, tensor] : outcome.values) outcome.zeros += std::count(tensor.data(), tensor.data() + tensor.size(), 0.0f);
  outcome.penalty = optimizer.penalty();
  return outcome;
}

}  // namespace

TEST_CASE("SGD and the proximal step of a whole network do on the emulated GPU what they do on the CPU") {
  const Network network = tiny_resnet();
  for (const auto& [name, entry] : regularizers()) {
    INFO(name);
    const Outcome cpu = run(network, Device{}, name), gpu = run(network, kGpuDevice, name);
    CHECK(std::fabs(cpu.penalty - gpu.penalty) <= 1e-5 * (std::fabs(cpu.penalty) + 1e-6));
    CHECK(cpu.zeros == gpu.zeros);
    for (const auto& [parameter, want] : cpu.values) {
      INFO(parameter);
      const Tensor& got = gpu.values.at(parameter);
      double worst = 0.0;
      for (std::int64_t i = 0; i < want.size(); ++i) {
        const double error = std::fabs(static_cast<double>(want.data()[i]) - static_cast<double>(got.data()[i]));
        if (!(error <= worst)) worst = error;
      }
      CHECK(worst <= 2e-6);  // of weights below 2: 8 units of the last place, over three steps
    }
  }
}

TEST_CASE("sets that share a parameter are taken one behind the other, all others at once") {
  const int a = 0, b = 0, c = 0;
  CHECK(launch_of_sets({{&a}, {&b}, {&a}, {&c}, {&a, &b}}) == std::vector<int>{0, 0, 1, 0, 2});
  CHECK(launch_of_sets({}).empty());
}
