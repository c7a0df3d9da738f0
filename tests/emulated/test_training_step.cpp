// The engine on the emulated GPU: a network's whole training step, eager and as a captured graph, against the CPU.
//
// Host code that touches the device's memory is stopped by the processor here, so what passes also keeps host and
// device apart.
#include "data/loader.h"
#include "engine/graph/builder.h"
#include "engine/train/batch_memory.h"
#if !defined(HINGE_ON_DEVICE)
#include "kernels/simt/emulated_device.h"
#endif
#include "tests/emulated/schedules.h"
#include "tests/emulated/training_run.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference.h"
#include "tools/hinge/device_images.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// What one step may differ by: every one of a step's roughly 20 layers adds and multiplies in another order and loses a
// few units of the last place (6e-8) of its operands, forwards and backwards; 2e-5 is about 300 of them.
constexpr double kStepBound = 2e-5;

// The biases of convolutions in front of a BatchNorm, which takes them out again: their gradient is 0 but for rounding.
bool has_no_gradient(const std::string& name) { return name.ends_with(".bias") && name.find("conv") != std::string::npos; }

void check_close(const TrainedRun& cpu, const TrainedRun& gpu, double bound) {
  REQUIRE(cpu.losses.size() == gpu.losses.size());
  double largest = 0.0;
  for (const auto& [name, tensor] : cpu.velocities) largest = std::max(largest, largest_magnitude(tensor));
  for (std::size_t i = 0; i < cpu.losses.size(); ++i) CHECK(std::fabs(cpu.losses[i] - gpu.losses[i]) <= bound * std::fabs(cpu.losses[i]));
  for (const auto& [name, tensor] : cpu.values) {
    if (has_no_gradient(name)) continue;
    INFO(name);
    CHECK(distance(tensor, gpu.values.at(name)) <= bound);
  }
  for (const auto& [name, tensor] : cpu.velocities) {
    INFO("velocity of " << name);
    if (has_no_gradient(name)) {
      CHECK(std::max(largest_magnitude(tensor), largest_magnitude(gpu.velocities.at(name))) <= bound * largest);
    } else {
      CHECK(distance(tensor, gpu.velocities.at(name)) <= bound);
    }
  }
}

}  // namespace

TEST_CASE("a whole training step of a tiny ResNet gives the same on the CPU and on the emulated GPU") {
  for (const char* shortcut : {"A-stride", "A-pool", "C"}) {
    INFO("shortcut " << shortcut);
    const Network network = tiny_resnet(shortcut);
    const StepOptions options{.loss = {.label_smoothing = 0.1f}};
    const TrainedRun cpu = train(network, Device{}, 1, options);
    const TrainedRun gpu = train(network, kGpuDevice, 1, options);
    REQUIRE(cpu.how == "eager: the CPU has no graphs");
    check_close(cpu, gpu, kStepBound);
    // The bound is worth something only if the step moved the weights by far more.
    CHECK(distance(network.value("conv1.weight"), cpu.values.at("conv1.weight")) > 100 * kStepBound);
  }
}

TEST_CASE("every operation that the ResNets don't have goes forwards and backwards on the emulated GPU too") {
  GraphBuilder g("everything", {8, 8, 3});
  const int stem = g.relu("relu0", g.conv("features.0", 0, 8, {.bias = true}), ReluAttributes{.ceiling = 6.0f});
  const int grouped = g.relu("relu1", g.batch_norm("bn1", g.conv("grouped", stem, 8, {.groups = 4})));
  const int depthwise = g.batch_norm("bn2", g.conv("depthwise", grouped, 8, {.groups = 8}));
  const int joined = g.concat("concat", {stem, g.add("add", grouped, depthwise)});
  const int pooled = g.max_pool("max", joined, {.window = 3, .stride = 2, .padding = 1});
  const int halved = g.average_pool("average", g.conv("features.1", pooled, 16, {.kernel = 1}), {.window = 2, .stride = 2});
  Network network(std::move(g).finish(g.linear("fc", g.relu("relu2", g.linear("hidden", g.flatten("flat", halved), 12)), 10)));
  initialise(network, 11);
  check_close(train(network, Device{}, 1, {}), train(network, kGpuDevice, 1, {}), kStepBound);
}

TEST_CASE("a training step makes the same bytes under every schedule of threads and blocks") {
  const Network network = tiny_resnet();
  CHECK(same_under_all_schedules([&] {
    const TrainedRun run = train(network, kGpuDevice, 1, {});
    std::vector<float> all;
    for (const auto& [name, tensor] : run.values) all.insert(all.end(), tensor.values().begin(), tensor.values().end());
    return all;
  }));
}

TEST_CASE("replayed steps make the bytes of eager ones") {
  Network network = tiny_resnet(), teacher = tiny_resnet();
  initialise(teacher, 8);
  for (const bool distill : {false, true}) {
    INFO("distillation " << distill);
    StepOptions options{.loss = {.distillation_weight = distill ? 0.4f : 0.0f}};
    const TrainedRun graph = train(network, kGpuDevice, 5, options, distill ? &teacher : nullptr);
    options.graph = false;
    const TrainedRun eager = train(network, kGpuDevice, 5, options, distill ? &teacher : nullptr);
    CHECK(graph.how == "graph");
    CHECK(graph.replays == 4);
    CHECK(eager.how == "eager: as asked for");
    CHECK(eager.replays == 0);
    CHECK(graph.losses == eager.losses);
    for (const auto& [name, tensor] : eager.values) {
      INFO(name);
      CHECK(same_bytes(tensor, graph.values.at(name)));
    }
    for (const auto& [name, tensor] : eager.velocities) {
      INFO("velocity of " << name);
      CHECK(same_bytes(tensor, graph.velocities.at(name)));
    }
  }
}

TEST_CASE("with somebody who looks at the gradients, backward is replayed and the update is not part of it") {
  const Network network = tiny_resnet();
  int looks = 0;
  double first_norm = 0.0;
  const TrainedRun seen = train(network, kGpuDevice, 3, {}, nullptr, [&](std::span<Parameter* const> parameters, std::span<const Tensor> gradients) {
    REQUIRE(parameters.size() == gradients.size());
    ++looks;
    first_norm += largest_magnitude(gradients[0].to(Device{}));
  });
  CHECK(looks == 3);
  CHECK(first_norm > 0.0);
  CHECK(seen.replays == 2);
  const TrainedRun unseen = train(network, kGpuDevice, 3, {});
  for (const auto& [name, tensor] : unseen.values) CHECK(same_bytes(tensor, seen.values.at(name)));
}

TEST_CASE("tensors that live across replays keep their values, and a smaller batch in between runs eagerly") {
  Network network = tiny_resnet();
  network.move_to(kGpuDevice);
  Sgd optimizer({});
  TrainingStep step(network, optimizer, {}, {}, stream_of(kGpuDevice));
  const auto run = [&](std::int64_t images, std::uint64_t seed) {
    step.run(random_tensor({images, 8, 8, 3}, seed), random_labels(images, 10, seed), 0.01f, seed);
    CHECK(std::isfinite(step.outcome().loss));
    CHECK(step.outcome().images == images);
  };
  run(kBatch, 1), run(kBatch, 2);
  // Blocks that the graph's scratch would take if it had no pool of its own.
  std::vector<Tensor> kept;
  const Tensor content = random_tensor({4, 8, 8, 16}, 9);
  for (int i = 0; i < 20; ++i) kept.push_back(content.to(kGpuDevice));
  run(kBatch, 3), run(2, 4), run(kBatch, 5);
  CHECK(step.replays() == 3);
  for (const Tensor& tensor : kept) CHECK(same_bytes(tensor.to(Device{}), content));
}

TEST_CASE("a network with dropout is never captured, and its numbers are the CPU's") {
  GraphBuilder builder("dropout", {8, 8, 3});
  const int dropped = builder.dropout("drop", builder.relu("relu", builder.batch_norm("bn", builder.conv("features", 0, 8))), 0.3f);
  Network network(std::move(builder).finish(builder.linear("fc", builder.global_average_pool("pool", dropped), 10)));
  initialise(network, 3);
  const TrainedRun cpu = train(network, Device{}, 3, {.seed = 5}), gpu = train(network, kGpuDevice, 3, {.seed = 5});
  CHECK(gpu.how == "eager: dropout draws other numbers in every step");
  CHECK(gpu.replays == 0);
  check_close(cpu, gpu, 3 * kStepBound);
}

TEST_CASE("random networks of every operation compute the same forwards on the emulated GPU") {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    INFO("seed " << seed);
    Network network = random_network(random_graph(seed), seed);
    const Tensor images = random_tensor({2, 8, 8, 3}, seed);
    const NoGradients guard;
    const std::vector<Tensor> want = network.forward_all(images, {}, Stream());
    network.move_to(kGpuDevice);
    const std::vector<Tensor> got = network.forward_all(images.to(kGpuDevice), {}, stream_of(kGpuDevice));
    REQUIRE(want.size() == got.size());
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(distance(want[i], got[i].to(Device{})) <= kStepBound);
  }
}

#if !defined(HINGE_ON_DEVICE)  // needs a device as small as one likes
TEST_CASE("a step that doesn't fit says what was asked for and which batch would fit, and that batch does") {
  Network network = tiny_resnet();
  network.move_to(kGpuDevice);
  release_cached_memory(kGpuDevice);
  simt::emulator::set_device_memory(std::size_t{24} << 20);
  Sgd optimizer({});
  const auto run = [&](int images, int pieces = 1) {
    TrainingStep step(network, optimizer, {.graph = false, .pieces = pieces}, {}, stream_of(kGpuDevice));
    step.run(random_tensor({images, 8, 8, 3}, 1), random_labels(images, 10, 1), 0.01f, 0);
  };
  int fits = 0, in_pieces = 0;
  try {
    run(1024);
    FAIL("1024 images fitted into 24 MiB");
  } catch (const OutOfMemory& error) {
    fits = batch_that_fits(network, error, 1024);
    const std::string text = with_advice(error, network, {.images = 1024, .ranks = 3});
    CHECK_THAT(text, contains("cuda:0: out of memory: asked for"));
    CHECK_THAT(text, contains("MiB are in use by tensors"));
    CHECK_THAT(text, contains("of the device's 24.0 MiB are free"));
    CHECK_THAT(text, contains("with a batch of " + std::to_string(3 * fits) + " instead of 3072 it fits"));  // of all ranks
    // In pieces too, whose number was tried.
    const std::size_t at = text.find("; or with --accumulate ");
    REQUIRE(at != std::string::npos);
    in_pieces = std::stoi(text.substr(at + 23));
  }
  // Twice as many would not: the advice is not a guess on the safe side.
  CHECK(fits >= 64);
  run(fits);
  run(1024, in_pieces);
  CHECK_THROWS_AS(run(2 * fits), OutOfMemory);
  simt::emulator::set_device_memory(std::size_t{64} << 20);
}
#endif

TEST_CASE("batches made of images in the GPU's memory are the loader's, bit for bit") {
  data::ImageSet set{.name = "tiny", .height = 7, .width = 6, .channels = 3, .classes = 4, .pixels = {}, .labels = {}, .class_names = {}};
  for (int i = 0; i < 11; ++i) {
    set.labels.push_back(i % 4);
    for (int p = 0; p < 7 * 6 * 3; ++p) set.pixels.push_back(static_cast<std::uint8_t>(i * 53 + p * 7));
  }
  const data::Normalization normalization{{0.4f, 0.5f, 0.6f}, {0.2f, 0.25f, 0.3f}};
  REQUIRE(cli::DeviceImages::serves(set, kGpuDevice));
  REQUIRE_FALSE(cli::DeviceImages::serves(set, Device{}));
  cli::DeviceImages there(set, normalization, stream_of(kGpuDevice));
  for (const bool augment : {false, true}) {
    data::LoaderOptions options{.batch_size = 4, .shuffle = true, .augment = augment, .augmentation = {.padding = 2, .flip = true, .seed = 9}};
    const std::vector<int> all = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    data::Loader with(set, normalization, all, options);
    options.pixels = false;
    data::Loader without(set, normalization, all, options);
    for (const std::uint64_t epoch : {0, 3}) {
      with.start(epoch), without.start(epoch);
      while (const auto want = with.next()) {
        const auto got = without.next();
        REQUIRE(got);
        CHECK(got->labels == want->labels);
        CHECK(got->indices == want->indices);
        CHECK_FALSE(got->images.defined());
        CHECK(same_bytes(there.batch(got->indices, augment, options.augmentation, epoch).to(Device{}), want->images));
      }
      CHECK_FALSE(without.next());
    }
  }
}

TEST_CASE("what the host must not read on a device is an error that says so") {
  const Tensor tensor = random_tensor({3}, 1).to(kGpuDevice);
  CHECK_THROWS_WITH(tensor.values(), contains("the host reads values of a tensor on cuda:0"));
  CHECK(Tensor::full({1}, 2.5f, kGpuDevice).item() == 2.5f);
  CHECK(Tensor::zeros({5}, DType::kInt32, kGpuDevice).to(Device{}).data<std::int32_t>()[4] == 0);
  CHECK_THROWS_WITH(choose_device("cuda:99"), contains("cuda:99 is not there: this machine has"));
  CHECK(choose_device("auto").device == kGpuDevice);
}
