// Inference on the emulated GPU: a plan computes what the network does, with pairs as one kernel and as two calls; replayed calls
// make the bytes of eager ones, and what a caller has stays his.
#include <algorithm>
#include <cmath>

#include "engine/autograd/node.h"
#include "engine/core/accelerator.h"
#include "engine/graph/builder.h"
#include "engine/infer/device_program.h"
#include "engine/infer/inference_plan.h"
#include "engine/nn/fold_batch_norm.h"
#if !defined(HINGE_ON_DEVICE)
#include "kernels/simt/emulated_device.h"
#endif
#include "models/registry.h"
#include "tests/support/catch.h"
#include "tests/support/outputs.h"
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

// Of the magnitudes of a sum's terms, in units of float's rounding: four times what sums err by, for the library may have chosen
// Winograd's form.
constexpr double kRounding = 32.0;

// Numbers in float64, and how far float's may be from them: what float's rounding adds in a layer, and what of the errors before
// it comes through. Clamps let no more through than there was.
struct Bounded {
  Array value, error;
};

template <class Layer>
Bounded layer(const Bounded& x, const Tensor& w, const Tensor& b, const Layer& f) {
  const Array weights(w), bias(b);
  const Array magnitude = f(absolute(x.value), absolute(weights), absolute(bias));
  Bounded y{f(x.value, weights, bias), f(x.error, absolute(weights), Array())};
  for (std::int64_t i = 0; i < y.error.size(); ++i) y.error[i] += kRounding * kEpsilon * magnitude[i];
  return y;
}

// Of a network of convolutions, ReLUs, sums, and mean, flatten and linear layer behind them.
Bounded evaluate(const Network& network, const Tensor& images) {
  const Graph& graph = network.graph();
  std::vector<Bounded> values(graph.nodes.size());
  values[0] = {Array(images), Array(images.shape())};
  for (std::size_t i = 1; i < values.size(); ++i) {
    const GraphNode& node = graph.nodes[i];
    const Bounded& x = values[static_cast<std::size_t>(node.inputs[0])];
    const auto value = [&](const char* what) { return network.has_parameter(node.name + what) ? network.value(node.name + what) : Tensor(); };
    if (const auto* a = std::get_if<ConvAttributes>(&node.attributes)) {
      values[i] = layer(x, value(".weight"), value(".bias"), [&](const Array& in, const Array& w, const Array& b) { return reference::conv2d(in, w, b, {a->stride, a->padding, a->groups}); });
    } else if (node.kind == OpKind::kLinear) {
      values[i] = layer(x, value(".weight"), value(".bias"), reference::linear);
    } else if (const auto* relu = std::get_if<ReluAttributes>(&node.attributes)) {
      values[i] = {relu->ceiling > 0.0f ? reference::capped_relu(x.value, static_cast<double>(relu->ceiling)) : reference::relu(x.value), x.error};
    } else if (node.kind == OpKind::kAdd) {
      const Bounded& z = values[static_cast<std::size_t>(node.inputs[1])];
      values[i] = {reference::add(x.value, z.value), reference::add(x.error, z.error)};
      for (std::int64_t j = 0; j < values[i].error.size(); ++j) values[i].error[j] += kEpsilon * (std::fabs(x.value[j]) + std::fabs(z.value[j]));
    } else {
      REQUIRE((node.kind == OpKind::kGlobalAveragePool || node.kind == OpKind::kFlatten));
      const auto& f = node.kind == OpKind::kFlatten ? reference::flatten : reference::global_average_pool;
      values[i] = {f(x.value), f(x.error)};
      const Array magnitude = f(absolute(x.value));
      for (std::int64_t j = 0; j < magnitude.size(); ++j) values[i].error[j] += kRounding * kEpsilon * magnitude[j];
    }
  }
  return values[static_cast<std::size_t>(graph.output)];
}

// "" if all of `got` is as near as it has to be, else the first element that isn't. NaN isn't.
std::string outside(const Tensor& got, const Bounded& want) {
  if (got.size() != want.value.size()) return "another size";
  for (std::int64_t i = 0; i < got.size(); ++i) {
    const double error = std::fabs(static_cast<double>(got.data()[i]) - want.value[i]);
    if (!(error <= want.error[i])) return fmt::format("[{}] is {}, expected {} within {}", i, got.data()[i], want.value[i], want.error[i]);
  }
  return "";
}

struct PairKind {
  bool residual = false;
  float inner = -1.0f, outer = 0.0f;  // ceilings; 0: none, -1: no ReLU
  int stride = 1;
};

// Two pairs of a rank in a row, as compression leaves them.
Graph pair_graph(std::int64_t rank, const PairKind& kind) {
  GraphBuilder g("pairs", {7, 7, 3});
  const auto relu = [&](const std::string& name, int x, float ceiling) { return ceiling < 0.0f ? x : g.relu(name, x, ReluAttributes{.ceiling = ceiling}); };
  int x = g.relu("stem.relu", g.batch_norm("stem.bn", g.conv("stem", g.input(), 12)));
  for (int block = 0; block < 2; ++block) {
    const std::string name = "block" + std::to_string(block);
    int y = relu(name + ".inner", g.conv(name + ".0", x, rank, {.kernel = 3, .stride = kind.stride, .bias = block == 1}), kind.inner);
    y = g.batch_norm(name + ".bn", g.conv(name + ".1", y, 12, {.kernel = 1}));
    if (kind.residual) y = g.add(name + ".add", y, kind.stride == 1 ? x : g.conv(name + ".shortcut", x, 12, {.kernel = 1, .stride = kind.stride}));
    x = relu(name + ".outer", y, kind.outer);
  }
  return std::move(g).finish(g.linear("classifier", g.flatten("flatten", g.global_average_pool("pool", x)), 5));
}

}  // namespace

TEST_CASE("pairs of any rank compute what the network does, as one kernel and as two calls, and again when replayed") {
  const std::vector<PairKind> kinds = {{.residual = true}, {.residual = true, .outer = 0.4f}, {.inner = 0.0f, .outer = -1.0f}, {.residual = true, .inner = 0.5f, .stride = 2}};
  for (const std::int64_t rank : {1, 3, 7, 31, 32, 33}) {
    for (const PairKind& kind : kinds) {
      const Network network = random_network(pair_graph(rank, kind), 7);
      const Network folded = fold_batch_norm(network);
      Network unfused = on_gpu(folded);
      const Tensor images = pictures(network.graph(), 3, 1);
      const Bounded want = evaluate(folded, images);
      const auto forward = [&] {
        const NoGradients guard;
        return unfused.forward_all(images.to(kGpuDevice), {}, stream_of(kGpuDevice));
      };
      CHECK(outside(on_cpu(forward())[0], want) == "");
      for (const PairForm form : {PairForm::kFused, PairForm::kTwoCalls, PairForm::kMerged}) {
        INFO("rank " << rank << ", residual " << kind.residual << ", ceilings " << kind.inner << " and " << kind.outer << ", stride " << kind.stride << ", " << name_of(form));
        Network own = on_gpu(folded);
        DeviceProgram program(own, {.pairs = form});
        std::vector<Tensor> eager, replayed;
        program.run(images, eager);
        CHECK(outside(on_cpu(eager)[0], want) == "");
        const bool exists = form != PairForm::kMerged || kind.inner < 0.0f;  // what is clamped between can't be multiplied out
        CHECK(program.pair_forms(3) == std::vector<PairForm>(2, exists ? form : PairForm::kTwoCalls));
        for (int call = 0; call < 2; ++call) program.run(images, replayed);
        CHECK(program.replays() == 2);
        check_same(on_cpu(replayed), on_cpu(eager));
      }
    }
  }
}

TEST_CASE("a plan of a random network computes what its forward pass does, however pairs run") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    const Network network = random_network(random_graph(seed), seed);
    Network unfused = on_gpu(network);
    const Tensor images = pictures(network.graph(), 3, seed);
    std::vector<Tensor> want;
    {
      const NoGradients guard;
      want = on_cpu(unfused.forward_all(images.to(kGpuDevice), {}, stream_of(kGpuDevice)));
    }
    for (const PairForm form : {PairForm::kFused, PairForm::kTwoCalls, PairForm::kMerged}) {
      INFO("seed " << seed << ", " << name_of(form));
      InferencePlan plan(on_gpu(network), {.pairs = form});
      CHECK(difference(on_cpu(plan.run(images)), want) <= 5e-5);  // as on the CPU: folding rounds by some 1e-6 of the largest value a layer
    }
  }
}

TEST_CASE("BatchNorms that stay run with the residual and the ReLU behind them, with a ceiling too") {
  for (const PairKind& kind : {PairKind{.residual = true}, PairKind{.residual = true, .outer = 0.4f}, PairKind{.inner = 0.5f}}) {
    Network network = on_gpu(random_network(pair_graph(6, kind), 5));
    const Tensor images = pictures(network.graph(), 2, 1);
    const NoGradients guard;
    std::vector<Tensor> outputs;
    DeviceProgram(network, {}).run(images, outputs);
    CHECK(difference(on_cpu(outputs), on_cpu(network.forward_all(images.to(kGpuDevice), {}, stream_of(kGpuDevice)))) <= 5e-5);
  }
}

TEST_CASE("how a pair runs is recorded where it is measured, and a recorded choice is taken") {
  Network network = on_gpu(random_network(pair_graph(5, {}), 3));
  const kernels::ConvChoices before = kernels::conv_choices();
  const std::vector<PairForm> measured = DeviceProgram(network, {}).pair_forms(2);
  CHECK(measured.size() == 2);
  kernels::ConvChoices choices = kernels::conv_choices();
  int recorded = 0;
  for (auto& [key, name] : choices) {
    if (key.find("low-rank pair n2 ") == std::string::npos || before.contains(key)) continue;
    ++recorded;
    CHECK(name == name_of(measured[0]));
    name = name_of(measured[0] == PairForm::kFused ? PairForm::kTwoCalls : PairForm::kFused);
  }
  CHECK(recorded == 1);  // both pairs have one shape
  kernels::set_conv_choices(choices);
  CHECK(DeviceProgram(network, {}).pair_forms(2) == std::vector<PairForm>(2, measured[0] == PairForm::kFused ? PairForm::kTwoCalls : PairForm::kFused));
  CHECK(DeviceProgram(network, {.pairs = PairForm::kFused}).pair_forms(2) == std::vector<PairForm>(2, PairForm::kFused));
  kernels::set_conv_choices(before);
}

TEST_CASE("a pair that can't be fused runs as two calls, whatever is asked for") {
  Network network = on_gpu(random_network(pair_graph(kernels::kMostFusedRank + 1, {}), 3));
  for (const PairForm form : {PairForm::kFused, PairForm::kMeasured}) CHECK(DeviceProgram(network, {.pairs = form}).pair_forms(1) == std::vector<PairForm>(2, PairForm::kTwoCalls));
}

TEST_CASE("replayed inference makes the bytes of eager inference, for any number of images and heads") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const Network network = random_network(random_graph(seed), seed);
    // Measured, each might take another form of the pairs, and other forms round otherwise.
    InferencePlan replayed(on_gpu(network), {.pairs = PairForm::kFused}), eager(on_gpu(network), {.graph = false, .pairs = PairForm::kFused});
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
  DeviceProgram program(network, {});
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
