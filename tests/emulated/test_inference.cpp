// Inference on the emulated GPU: replayed calls make the bytes of eager ones, and what a caller has stays his.
#include "engine/infer/device_program.h"
#include "engine/infer/inference_plan.h"
#if !defined(HINGE_ON_DEVICE)
#include "kernels/simt/emulated_device.h"
#endif
#include "models/registry.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

const Device kGpuDevice{Device::Kind::kCuda, 0};

Network on_gpu(const Network& network) {
  Network copy = network.clone();
  copy.move_to(kGpuDevice);
  return copy;
}

Tensor pictures(const Graph& graph, std::int64_t count, std::uint64_t seed) {
  return random_tensor({count, graph.input.h, graph.input.w, graph.input.c}, seed, -2.0f, 2.0f);
}

std::vector<Tensor> on_cpu(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> result;
  for (const Tensor& tensor : tensors) result.push_back(tensor.copy_on(Device{}));
  return result;
}

void check_same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(same_bytes(a[i], b[i]));
}

}  // namespace

TEST_CASE("replayed inference makes the bytes of eager inference, for any number of images and heads") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const Network network = random_network(random_graph(seed), seed);
    InferencePlan replayed(on_gpu(network)), eager(on_gpu(network), {.graph = false});
    for (const std::int64_t count : {3, 1, 3}) {
      INFO("seed " << seed << ", " << count << " images");
      for (std::uint64_t call = 0; call < 3; ++call) {
        const Tensor images = pictures(network.graph(), count, 10 * seed + call);
        check_same(on_cpu(replayed.run(images)), on_cpu(eager.run(images.to(kGpuDevice))));
      }
    }
    CHECK(replayed.run(pictures(network.graph(), 0, 1))[0].dim(0) == 0);
  }
}

TEST_CASE("the second call of a shape is captured and replayed, another shape runs eagerly first") {
  Graph graph = models::build("resnet8", {});
  graph.input.h = graph.input.w = 8;
  Network network(std::move(graph));
  initialise(network, 3);
  network.move_to(kGpuDevice);
  DeviceProgram program(network, true);
  std::vector<std::int64_t> replays;
  std::vector<Tensor> outputs;
  for (const std::int64_t count : {2, 2, 2, 1, 2, 1, 1, 2}) {
    program.run(pictures(network.graph(), count, 5), outputs);
    CHECK(outputs[0].dim(0) == count);
    replays.push_back(program.replays());
  }
  CHECK(replays == std::vector<std::int64_t>{0, 1, 2, 2, 3, 3, 4, 4});
}

TEST_CASE("what an earlier call returned is the caller's: later replays leave it alone") {
  const Network network = random_network(random_graph(4), 4);
  InferencePlan plan(on_gpu(network));
  const Tensor first = pictures(network.graph(), 2, 1), second = pictures(network.graph(), 2, 2);
  plan.run(first);
  const std::vector<Tensor> kept = plan.run(first);
  const std::vector<Tensor> before = on_cpu(kept);
  std::vector<Tensor> reused = plan.run(second);
  check_same(on_cpu(kept), before);
  const float* place = reused[0].data();
  plan.run_into(first, reused);
  CHECK(reused[0].data() == place);  // nothing is allocated for a caller who brings his tensors
  check_same(on_cpu(reused), before);
}
