// Training with activations in bfloat16: close to training in floats, with weights that are floats.
#include "engine/graph/builder.h"
#include "engine/ops/cast.h"
#include "engine/ops/elementwise.h"
#include "kernels/bfloat16.h"
#include "tests/emulated/schedules.h"
#include "tests/emulated/training_run.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

constexpr StepOptions kBfloat16{.activations = DType::kBfloat16};

// |a - b| / |b| in the Euclidean norm, over all tensors of a run.
double relative_difference(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  double difference = 0.0, size = 0.0;
  for (const auto& [name, tensor] : b) {
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      const auto x = static_cast<double>(a.at(name).data()[i]), y = static_cast<double>(tensor.data()[i]);
      difference += (x - y) * (x - y), size += y * y;
    }
  }
  return std::sqrt(difference / size);
}

// A value is rounded by at most 2^-8 of itself at each of `layers` layers, there and back, twice in each (what comes in and the
// weights); independent roundings add up as their squares do, and a BatchNorm of few images enlarges by two or so.
double bound(int layers) { return 2.0 * 0x1p-8 * std::sqrt(4.0 * layers); }

// A ReLU whose input is rounded past 0 passes or stops a whole gradient. That happens to a share of 0.4 (the density of a normal
// distribution at 0) times the rounding, of some two units by then, in each of `layers`; what it changes adds up as squares do.
double gradient_bound(int layers) { return std::sqrt(0.4 * 2.0 * 0x1p-8 * layers); }

}  // namespace

TEST_CASE("a step in bfloat16 is close to one in floats, not the same, and leaves floats behind") {
  for (const char* shortcut : {"A-stride", "A-pool", "C"}) {
    INFO("shortcut " << shortcut);
    const Network network = tiny_resnet(shortcut);
    const TrainedRun floats = train(network, kGpuDevice, 1, {}), halves = train(network, kGpuDevice, 1, kBfloat16);
    const double difference = relative_difference(halves.velocities, floats.velocities);
    INFO("velocities differ by " << difference);
    CHECK(difference <= gradient_bound(10));
    CHECK(difference >= 0x1p-12);  // something was rounded
    CHECK(std::fabs(halves.losses[0] - floats.losses[0]) <= bound(10) * floats.losses[0]);
    // Weights that are no bfloat16: the master copy is floats.
    const Tensor& weight = halves.values.at("conv1.weight");
    CHECK(std::ranges::any_of(weight.values(), [](float w) { return float_of(bfloat16_of(w)) != w; }));
  }
}

TEST_CASE("every other operation goes forwards and backwards in bfloat16 too") {
  GraphBuilder g("everything", {8, 8, 3});
  const int stem = g.relu("relu0", g.conv("features.0", 0, 8, {.bias = true}), ReluAttributes{.ceiling = 6.0f});
  const int grouped = g.relu("relu1", g.batch_norm("bn1", g.conv("grouped", stem, 8, {.groups = 4})));
  const int depthwise = g.dropout("drop", g.batch_norm("bn2", g.conv("depthwise", grouped, 8, {.groups = 8})), 0.2f);
  const int joined = g.relu("relu3", g.concat("concat", {stem, g.add("add", grouped, depthwise)}));
  const int pooled = g.max_pool("max", joined, {.window = 3, .stride = 2, .padding = 1});
  const int halved = g.average_pool("average", g.conv("features.1", pooled, 16, {.kernel = 1}), {.window = 2, .stride = 2});
  Network network(std::move(g).finish(g.linear("fc", g.relu("relu2", g.linear("hidden", g.flatten("flat", halved), 12)), 10)));
  initialise(network, 11);
  const TrainedRun floats = train(network, kGpuDevice, 1, {}), halves = train(network, kGpuDevice, 1, kBfloat16);
  const double difference = relative_difference(halves.velocities, floats.velocities);
  INFO("velocities differ by " << difference);
  CHECK(difference <= gradient_bound(10));
  CHECK(difference >= 0x1p-12);
}

TEST_CASE("random networks of every operation compute in bfloat16 nearly what they compute in floats") {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    INFO("seed " << seed);
    Network network = random_network(random_graph(seed), seed);
    network.move_to(kGpuDevice);
    const Tensor images = random_tensor({2, 8, 8, 3}, seed).to(kGpuDevice);
    const NoGradients guard;
    const std::vector<Tensor> want = network.forward_all(images, {}, stream_of(kGpuDevice));
    const std::vector<Tensor> got = network.forward_all(images, {.activations = DType::kBfloat16}, stream_of(kGpuDevice));
    REQUIRE(want.size() == got.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
      CHECK(got[i].dtype() == DType::kFloat32);
      const double difference = distance(want[i].to(Device{}), got[i].to(Device{}));
      INFO("output " << i << " differs by " << difference);
      CHECK(difference <= bound(static_cast<int>(network.graph().nodes.size())));
    }
  }
}

TEST_CASE("steps too small for bfloat16 add up in the weights") {
  // At a rate of 1e-5 a step moves a weight by far less than 2^-8 of itself; in bfloat16 it would stay where it is.
  const Network start = tiny_resnet();
  const auto trained = [&](const StepOptions& options) {
    Network network = start.clone();
    network.move_to(kGpuDevice);
    Sgd optimizer({.momentum = 0.0f});
    TrainingStep step(network, optimizer, options, {}, stream_of(kGpuDevice));
    for (std::uint64_t i = 0; i < 8; ++i) step.run(random_tensor({kBatch, 8, 8, 3}, 1), random_labels(kBatch, 10, 1), 1e-5f, i);
    std::map<std::string, Tensor> moved;
    for (const Parameter* parameter : network.parameters()) {
      Tensor way = parameter->value.copy_on(Device{});
      const Tensor before = start.value(parameter->name);
      for (std::int64_t i = 0; i < way.size(); ++i) way.mutable_data()[i] -= before.data()[i];
      moved.emplace(parameter->name, way);
    }
    return moved;
  };
  const double difference = relative_difference(trained(kBfloat16), trained({}));
  INFO("ways differ by " << difference);
  CHECK(difference <= gradient_bound(10));
}

TEST_CASE("replayed steps in bfloat16 make the bytes of eager ones, with a teacher and in pieces too") {
  Network network = tiny_resnet(), teacher = tiny_resnet();
  initialise(teacher, 8);
  for (const int pieces : {1, 2}) {
    StepOptions options{.loss = {.distillation_weight = 0.4f}, .activations = DType::kBfloat16, .pieces = pieces};
    const TrainedRun graph = train(network, kGpuDevice, 4, options, &teacher);
    options.graph = false;
    const TrainedRun eager = train(network, kGpuDevice, 4, options, &teacher);
    CHECK(graph.how == "graph");
    CHECK(graph.replays == 3);
    CHECK(graph.losses == eager.losses);
    for (const auto& [name, tensor] : eager.values) {
      INFO(name << ", pieces " << pieces);
      CHECK(same_bytes(tensor, graph.values.at(name)));
    }
  }
}

TEST_CASE("network and teacher both compute in bfloat16, the loss in floats") {
  Network network = tiny_resnet(), teacher = tiny_resnet();
  initialise(teacher, 8);
  const LossOptions loss{.distillation_weight = 0.4f};
  const TrainedRun run = train(network, kGpuDevice, 1, {.loss = loss, .activations = DType::kBfloat16}, &teacher);
  network.move_to(kGpuDevice), teacher.move_to(kGpuDevice);
  const Stream stream = stream_of(kGpuDevice);
  const Tensor images = random_tensor({kBatch, 8, 8, 3}, 100).to(kGpuDevice), labels = random_labels(kBatch, 10, 100).to(kGpuDevice);
  const NoGradients guard;
  const Tensor teaching = teacher.forward(images, {.activations = DType::kBfloat16}, stream);
  const Tensor logits = network.forward(images, {.training = true, .activations = DType::kBfloat16}, stream);
  CHECK(run.losses[0] == static_cast<double>(classification_loss(logits, labels, teaching, loss, stream).item()));
}

TEST_CASE("a step in bfloat16 makes the same bytes under every schedule of threads and blocks") {
  const Network network = tiny_resnet();
  CHECK(same_under_all_schedules([&] {
    const TrainedRun run = train(network, kGpuDevice, 1, kBfloat16);
    std::vector<float> all;
    for (const auto& [name, tensor] : run.values) all.insert(all.end(), tensor.values().begin(), tensor.values().end());
    return all;
  }));
}

TEST_CASE("bfloat16 takes about half of the memory for each image") {
  Network network = tiny_resnet();
  network.move_to(kGpuDevice);
  const auto per_image = [&](DType activations) {
    const auto peak = [&](std::int64_t images) {
      Sgd optimizer({});
      TrainingStep step(network, optimizer, {.graph = false, .activations = activations}, {}, stream_of(kGpuDevice));
      release_cached_memory(kGpuDevice);
      reset_peak_memory(kGpuDevice);
      step.run(random_tensor({images, 8, 8, 3}, 1), random_labels(images, 10, 1), 0.01f, 0);
      return static_cast<double>(memory_use(kGpuDevice).peak);
    };
    return (peak(128) - peak(64)) / 64.0;
  };
  const double floats = per_image(DType::kFloat32), halves = per_image(DType::kBfloat16);
  INFO(floats / 1024 << " KiB and " << halves / 1024 << " KiB");
  CHECK(floats > 0.0);
  // The pictures themselves and the logits stay floats.
  CHECK(halves <= 0.6 * floats);
  CHECK(halves >= 0.45 * floats);
}

TEST_CASE("bfloat16 on the CPU, and numbers beyond it, are errors that say so") {
  Network network = tiny_resnet();
  Sgd optimizer({});
  CHECK_THROWS_WITH(TrainingStep(network, optimizer, kBfloat16, {}, Stream()), contains("activations in BF16 on cpu, expected F32, or BF16 on a GPU"));
  CHECK_THROWS_WITH(relu(cast(random_tensor({3}, 1), DType::kBfloat16, Stream()), Stream()), contains("a tensor of BF16 lies on the CPU, expected a GPU"));
  CHECK_THROWS_WITH(cast(Tensor::zeros({3}, DType::kInt32), DType::kBfloat16, Stream()), contains("from I32 to BF16"));

  network.parameter("layer2.0.conv1.weight").value.mutable_data()[5] = 3e38f;
  network.move_to(kGpuDevice);
  TrainingStep step(network, optimizer, {.graph = false, .activations = DType::kBfloat16}, {}, stream_of(kGpuDevice));
  CHECK_THROWS_WITH(step.run(random_tensor({kBatch, 8, 8, 3}, 1), random_labels(kBatch, 10, 1), 0.1f, 0), contains("output of layer2.0.conv1["));
}
