// Ranks with a GPU each: sums queued on the device, as part of a graph, or by way of the host.
//
// A rank that is alone in its group trains what one without a group does; on a GPU that is NCCL with one rank. The other rank of
// the emulator's groups of two is a twin: it has the same images, so what the two make of 2 n images is what one makes of these n.
// Shares and sums are powers of two, so it is the same to the last bit.
#include <algorithm>
#include <cmath>

#include "kernels/bfloat16.h"
#if !defined(HINGE_ON_DEVICE)
#include "kernels/simt/emulated_device.h"
#endif
#include "kernels/simt/group_sums.h"
#include "tests/emulated/schedules.h"
#include "tests/emulated/training_run.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

constexpr std::int64_t kImages = 4;

template <class T>
void add_twin(std::span<T> values) {
  for (T& value : values) value += value;
}

class Alone final : public ProcessGroup {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void sum(std::span<double>) override {}
  std::unique_ptr<Pending> start_sum(std::span<float>, SumPrecision, std::shared_ptr<const void>) override { return std::make_unique<Nothing>(); }
  std::string broadcast(std::string bytes, int) override { return bytes; }

 private:
  struct Nothing final : Pending {
    void wait() override {}
  };
};

#if !defined(HINGE_ON_DEVICE)
class TwinGroup final : public ProcessGroup {
 public:
  int rank() const override { return 1; }
  int size() const override { return 2; }
  void sum(std::span<double> values) override { add_twin(values), ++sums; }
  std::unique_ptr<Pending> start_sum(std::span<float> values, SumPrecision precision, std::shared_ptr<const void>) override {
    ++host_sums;
    return std::make_unique<Later>(values, precision);
  }
  std::string broadcast(std::string bytes, int) override { return bytes; }

  int sums = 0, host_sums = 0;

 private:
  struct Later final : Pending {
    Later(std::span<float> values, SumPrecision precision) : values(values), precision(precision) {}
    void wait() override {
      if (precision == SumPrecision::kBfloat16) std::ranges::transform(values, values.begin(), [](float x) { return float_of(bfloat16_of(x)); });
      add_twin(values);
    }
    std::span<float> values;
    SumPrecision precision;
  };
};

// While one lives, the emulated GPU has its twin beside it.
struct TwinGpu {
  TwinGpu() {
    const auto add = [](float* values, std::size_t count) { add_twin(std::span(values, count)); };
    const auto add_bfloat16 = [](std::uint16_t* values, std::size_t count) {
      for (std::uint16_t& value : std::span(values, count)) value = bfloat16_of(2.0f * float_of(value));
    };
    simt::emulator::set_others({.add = add, .add_bfloat16 = add_bfloat16});
  }
  ~TwinGpu() { simt::emulator::set_others({}); }
};

#endif

struct Run {
  std::map<std::string, Tensor> values;  // on the CPU
  std::vector<StepOutcome> outcomes;
  std::int64_t replays = 0;
  std::string how;
};

Run train(StepOptions options, Device device = kGpuDevice, int steps = 4) {
  Network network = tiny_resnet();
  network.move_to(device);
  Sgd optimizer({.momentum = 0.9f, .decay = 1e-3f});
  TrainingStep step(network, optimizer, options, {}, stream_of(device));
  Run run;
  for (int i = 0; i < steps; ++i) {
    const Tensor images = random_tensor({kImages, 8, 8, 3}, static_cast<std::uint64_t>(60 + i));
    const Tensor labels = random_labels(kImages, 10, static_cast<std::uint64_t>(i));
    if (options.group == nullptr) {
      step.run(images, labels, 0.1f, static_cast<std::uint64_t>(i));
    } else {
      step.run(images, labels, 0.1f, static_cast<std::uint64_t>(i), slice_of(options.group->size() * kImages, options.group), options.group->size() * kImages);
    }
    run.outcomes.push_back(step.outcome());
  }
  for (const auto& [name, tensor] : network.values()) run.values.emplace(name, tensor.copy_on(Device{}));
  run.replays = step.replays(), run.how = step.how();
  return run;
}

bool same_bytes_everywhere(const Run& a, const Run& b) {
  bool same = a.values.size() == b.values.size();
  for (const auto& [name, tensor] : a.values) same = same && same_bytes(tensor, b.values.at(name));
  return same;
}

}  // namespace

TEST_CASE("a rank that is alone in its group trains what one without a group does, eagerly and by graph") {
#if !defined(HINGE_ON_DEVICE)
  simt::emulator::set_others({.add = [](float*, std::size_t) {}, .add_bfloat16 = [](std::uint16_t*, std::size_t) {}});
#endif
  if (!simt::why_no_group_sums().empty()) WARN("sums pass through the host: " << simt::why_no_group_sums());
  Alone group;
  for (const bool graph : {false, true}) {
    const Run without = train({.graph = graph}), with = train({.graph = graph, .group = &group});
    CHECK(same_bytes_everywhere(with, without));
    CHECK(with.replays == (simt::why_no_group_sums().empty() ? without.replays : 0));
    CHECK(with.outcomes.back().loss == without.outcomes.back().loss);
  }
#if !defined(HINGE_ON_DEVICE)
  simt::emulator::set_others({});
#endif
}

#if !defined(HINGE_ON_DEVICE)
TEST_CASE("a rank whose twin has the same images trains what one process does, on the host, queued on the GPU and in a graph") {
  const Run alone = train({.graph = false});
  TwinGroup group;
  const auto check = [&](const Run& run, std::int64_t replays) {
    CHECK(same_bytes_everywhere(run, alone));
    CHECK(run.replays == replays);
    for (std::size_t i = 0; i < alone.outcomes.size(); ++i) {
      CHECK(run.outcomes[i].loss == alone.outcomes[i].loss);
      CHECK(run.outcomes[i].images == 2 * alone.outcomes[i].images);
      CHECK(run.outcomes[i].top1 == 2 * alone.outcomes[i].top1);
    }
  };
  const Run by_host = train({.group = &group});
  CHECK(by_host.how == "eager: the ranks' gradients pass through the host's memory: rank 1: the emulated GPU is alone");
  CHECK(group.host_sums >= 2 * 4);  // gradients and running statistics
  check(by_host, 0);

  const TwinGpu twin;
  group.host_sums = 0;
  const Run eager = train({.graph = false, .group = &group});
  check(eager, 0);
  const Run graph = train({.group = &group});
  CHECK(graph.how == "graph");
  check(graph, 3);
  CHECK(group.host_sums == 0);
}

TEST_CASE("gradients that travel as bfloat16 give the same bytes on the host, queued and in a graph, and nearly those of floats") {
  TwinGroup group;
  const StepOptions options{.group = &group, .sum_precision = SumPrecision::kBfloat16};
  const Network start = tiny_resnet();
  const Run by_host = train(options, kGpuDevice, 1), floats = train({.graph = false}, kGpuDevice, 1);
  const auto before_step = start.values();
  for (const auto& [name, tensor] : floats.values) {
    double largest = 0.0, worst = 0.0;
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      const auto before = static_cast<double>(before_step.at(name).data()[i]), after = static_cast<double>(tensor.data()[i]);
      largest = std::max(largest, std::fabs(after - before));
      const double d = std::fabs(after - static_cast<double>(by_host.values.at(name).data()[i]));
      if (!(d <= worst)) worst = d;
    }
    INFO(name);
    // One rounding of 2^-8 (a twin's sum needs no second one) of a step whose momentum and decay add to it: and a unit of the weight.
    CHECK(worst <= std::exp2(-7.9) * largest + 1.2e-7);
    if (name == "conv1.weight") CHECK(worst > 0.0);
    if (name.find("running") != std::string::npos) CHECK(worst == 0.0);  // as they are
  }
  const Run by_host_4 = train(options);
  const TwinGpu twin;
  StepOptions eager = options;
  eager.graph = false;
  const Run queued = train(eager), graph = train(options);
  CHECK(graph.replays == 3);
  CHECK(same_bytes_everywhere(queued, by_host_4));
  CHECK(same_bytes_everywhere(graph, by_host_4));
}

TEST_CASE("with a twin synchronised BatchNorm in bfloat16 moves weights as it does alone, but for rounding twice") {
  // The twin's images are the same: statistics and gradients of both are those of one.
  TwinGroup group;
  const TwinGpu twin;
  const Network start = tiny_resnet();
  const auto ways = [&](const StepOptions& options) {
    std::vector<double> result;
    for (const auto& [name, tensor] : train(options, kGpuDevice, 1).values) {
      if (name.find("running") != std::string::npos) continue;
      for (std::int64_t i = 0; i < tensor.size(); ++i) result.push_back(static_cast<double>(tensor.data()[i]) - static_cast<double>(start.value(name).data()[i]));
    }
    return result;
  };
  const std::vector<double> alone = ways({.activations = DType::kBfloat16}), together = ways({.group = &group, .synchronize_batch_norm = true, .activations = DType::kBfloat16});
  const std::vector<double> floats = ways({});
  const auto difference = [](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0.0, size = 0.0;
    for (std::size_t i = 0; i < b.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]), size += b[i] * b[i];
    return std::sqrt(sum / size);
  };
  INFO("alone " << difference(alone, floats) << ", together " << difference(together, floats) << " from floats, " << difference(together, alone) << " from each other");
  CHECK(difference(alone, floats) > 0.0);
  // dx is rounded before its correction and after it: as much again as one rounding.
  CHECK(difference(together, floats) <= 2.0 * difference(alone, floats));
  CHECK(difference(together, alone) <= 2.0 * difference(alone, floats));
}

TEST_CASE("synchronised BatchNorm on a GPU is the CPU's, and looks at the twin's images too") {
  TwinGroup group;
  const TwinGpu twin;
  const StepOptions options{.group = &group, .synchronize_batch_norm = true};
  const Run gpu = train(options), cpu = train(options, Device{});
  CHECK(gpu.how == "eager: synchronised BatchNorm's statistics pass through the host");
  // Twice the images have other unbiased variances.
  CHECK_FALSE(same_bytes(gpu.values.at("bn1.running_var"), train({.graph = false}).values.at("bn1.running_var")));
  // A few units of the last place for each of some 20 layers, over four steps.
  for (const auto& [name, tensor] : cpu.values) {
    double largest = 0.0, worst = 0.0;
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      largest = std::max(largest, std::fabs(static_cast<double>(tensor.data()[i])));
      const double d = std::fabs(static_cast<double>(tensor.data()[i]) - static_cast<double>(gpu.values.at(name).data()[i]));
      if (!(d <= worst)) worst = d;
    }
    INFO(name);
    CHECK(worst <= 1e-4 * (1.0 + largest));
  }
}

TEST_CASE("steps in pieces replay the bytes of eager ones, alone and with a twin") {
  TwinGroup group;
  const TwinGpu twin;
  const Run whole = train({.graph = false});
  for (ProcessGroup* of : {static_cast<ProcessGroup*>(nullptr), static_cast<ProcessGroup*>(&group)}) {
    const Run eager = train({.graph = false, .group = of, .pieces = 2}), graph = train({.group = of, .pieces = 2});
    CHECK(graph.replays == 3);
    CHECK(same_bytes_everywhere(eager, graph));
    CHECK(eager.outcomes.back().loss == graph.outcomes.back().loss);
    CHECK_FALSE(same_bytes_everywhere(eager, whole));  // BatchNorm saw two images at a time
  }
}
#endif
