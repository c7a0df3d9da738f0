// Times of layers on a GPU, which a target in time is steered by. The emulated GPU has no time of its own: it gets a clock that ticks.
#include <nlohmann/json.hpp>

#include "compress/latency.h"
#include "engine/core/error.h"
#include "engine/infer/fused_graph.h"
#include "engine/infer/layer_times.h"
#include "engine/nn/fold_batch_norm.h"
#include "kernels/math_mode.h"
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
using namespace hinge::compress;
using namespace hinge::testing;

namespace {

const Device kGpuDevice{Device::Kind::kCuda, 0};

#if !defined(HINGE_ON_DEVICE)
// While one lives, whatever is measured on the emulated GPU takes a millisecond.
struct RunningClock {
  RunningClock() {
    simt::emulator::set_clock([now = 0.0]() mutable { return now += 1.0; });
  }
  ~RunningClock() { simt::emulator::set_clock(nullptr); }
  RunningClock(const RunningClock&) = delete;
  RunningClock& operator=(const RunningClock&) = delete;
};
constexpr double kCaptured = 1e-3 / 8.0, kEager = 1e-3;  // seconds of one run: a captured graph has eight
#else
struct RunningClock {};  // a real one has its own
#endif

Network small_network() {
  Graph graph = models::build("resnet8", {});
  graph.input.h = graph.input.w = 8;
  Network network(std::move(graph));
  initialise(network, 3);
  return network;
}

Network on_gpu(const Network& network) {
  Network copy = network.clone();
  copy.move_to(kGpuDevice);
  return copy;
}

// Counts the points it is asked for; one costs what it multiplies, as if each had been measured.
class CountingStopwatch final : public LayerStopwatch {
 public:
  CountingStopwatch(std::int64_t unit, std::vector<Spec>& asked) : unit_(unit), asked_(asked) {}
  double seconds(const Spec& s) override {
    asked_.push_back(s);
    return static_cast<double>(s.c * s.k + s.k * s.tail);
  }
  std::int64_t unit(bool) const override { return unit_; }
  std::string machine() const override { return "a table"; }

 private:
  std::int64_t unit_;
  std::vector<Spec>& asked_;
};

}  // namespace

TEST_CASE("in units of four channels a count costs what the next whole number of units does, and nothing else is measured") {
  for (const std::int64_t extent : {3, 4, 16, 64, 65, 1000}) {
    std::vector<LayerTimes::Spec> asked;
    LayerTimes times(std::make_unique<CountingStopwatch>(4, asked));
    const LayerTimes::Spec full{.h = 1, .w = 1, .c = extent, .k = extent};
    times.prepare(full, true, true, false);
    const std::size_t points = asked.size();
    for (const LayerTimes::Spec& spec : asked) {
      CHECK((spec.c % 4 == 0 || spec.c == extent));
      CHECK((spec.k % 4 == 0 || spec.k == extent));
    }
    for (std::int64_t count = 1; count <= extent; ++count) {
      LayerTimes::Spec kept = full;
      kept.k = count;
      const std::int64_t whole = std::min(extent, (count + 3) / 4 * 4);
      CHECK(times.seconds(full, kept) == Approx(static_cast<double>(extent * whole)));  // linear in k, as the stopwatch is
    }
    CHECK(asked.size() == points);
    CHECK(times.measured() == points);
  }
}

TEST_CASE("a profile on a GPU times every step once, in order, and leaves the plan's results alone") {
  const RunningClock clock;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const Network network = random_network(random_graph(seed), seed);
    const Network folded = fold_batch_norm(network);
    const Tensor images = random_tensor({2, network.graph().input.h, network.graph().input.w, network.graph().input.c}, seed).to(kGpuDevice);
    for (const bool graph : {true, false}) {
      InferencePlan plan(on_gpu(network), {.graph = graph, .pairs = PairForm::kTwoCalls});
      const std::vector<Tensor> before = plan.run(images);
      const std::vector<StepTime> times = plan.profile(images, 3);
      const std::vector<FusedStep> steps = fuse(folded.graph()).steps;
      REQUIRE(times.size() == steps.size());
      for (std::size_t i = 0; i < steps.size(); ++i) {
        INFO("seed " << seed << ", " << times[i].name);
        CHECK(times[i].name == name_of(steps[i], folded.graph()));
        const OpKind kind = folded.graph().at(steps[i].operation).kind;
        CHECK(times[i].form == (steps[i].tail >= 0 ? "two calls" : kind == OpKind::kConv2d ? "convolution"
                                                               : kind == OpKind::kLinear   ? "product"
                                                                                           : ""));
        CHECK(times[i].seconds > 0.0);
#if !defined(HINGE_ON_DEVICE)
        CHECK(times[i].seconds == Approx(graph ? kCaptured : kEager));
#endif
      }
      const std::vector<Tensor> after = plan.run(images);
      for (std::size_t o = 0; o < after.size(); ++o) CHECK(same_bytes(after[o].to(Device{}), before[o].to(Device{})));
    }
  }
}

TEST_CASE("a GPU's stopwatch times convolutions, linear layers and pairs of any count of channels") {
  const RunningClock clock;
  DeviceStopwatch stopwatch(kGpuDevice, 3);
  for (const std::int64_t c : {1, 4, 31, 33}) {
    for (const std::int64_t k : {1, 8, 127, 1000}) {
      for (const LayerStopwatch::Spec& spec : {LayerStopwatch::Spec{.h = 5, .w = 4, .c = c, .k = k, .r = 3, .s = 3, .stride = 2, .padding = 1},
                                               {.h = 5, .w = 4, .c = c, .k = k, .r = 3, .s = 3, .padding = 1, .tail = 12},
                                               {.h = 1, .w = 1, .c = c, .k = k}}) {
        INFO(spec.to_string());
        CHECK(stopwatch.seconds(spec) > 0.0);
#if !defined(HINGE_ON_DEVICE)
        CHECK(stopwatch.seconds(spec) == Approx(kCaptured));
#endif
      }
    }
  }
}

#if !defined(HINGE_ON_DEVICE)
TEST_CASE("a device whose clock stands still can't time a layer, and says so") {
  DeviceStopwatch stopwatch(kGpuDevice, 2);
  CHECK_THROWS_WITH(stopwatch.seconds({.h = 2, .w = 2, .c = 3, .k = 4}), contains("emulated GPU") && contains("took no time"));
}
#endif

TEST_CASE("the clock of a GPU gives the dense network the time that it was measured to take there, and its table spares measuring again") {
  const RunningClock running;
  const Network dense = on_gpu(small_network());
  const Structure structure = make_structure(dense.graph(), {.mode = Mode::kDecompose, .exclude = {}, .residual = false});
  const auto clock = std::make_shared<MeasuredClock>(dense, LatencyOptions{.batch = 2}, nlohmann::json());
  CHECK(clock->method() == InferenceMethod::kLibrary);
  const Budget budget(structure, clock);
  CHECK(clock->measured() > 0);
  const nlohmann::json table = clock->table();
  REQUIRE(table.at("calls").size() == 1);
  const nlohmann::json& call = table.at("calls").front();
  CHECK(budget.dense().seconds == Approx(call.at("seconds").get<double>()).epsilon(1e-9));
  const double share = call.at("convolutions").get<double>() / call.at("seconds").get<double>();
  CHECK(share > 0.0);
  CHECK(share <= 1.0);
#if !defined(HINGE_ON_DEVICE)
  // All steps take the same by this clock, and so do all convolutions.
  std::size_t convolutions = 0, layers = 0;
  const Graph folded = fold_batch_norm(small_network()).graph();
  const std::vector<FusedStep> steps = fuse(folded).steps;
  for (const FusedStep& step : steps) convolutions += folded.at(step.operation).kind == OpKind::kConv2d || folded.at(step.operation).kind == OpKind::kLinear;
  for (const GraphNode& node : dense.graph().nodes) layers += node.kind == OpKind::kConv2d || node.kind == OpKind::kLinear;
  CHECK(share == Approx(static_cast<double>(convolutions) / static_cast<double>(steps.size())));
  const LayerClock::Spec stem{.h = 8, .w = 8, .c = 3, .k = 16, .r = 3, .s = 3, .padding = 1};
  CHECK(clock->convolution(stem, stem) == Approx(call.at("convolutions").get<double>() / static_cast<double>(layers)));
#endif

  const auto again = std::make_shared<MeasuredClock>(dense, LatencyOptions{.batch = 2}, table);
  const Budget second(structure, again);
  CHECK(again->measured() == 0);
  CHECK(second.dense().seconds == budget.dense().seconds);
  CHECK(again->table() == table);

  // Another batch, another precision and the CPU have times of their own, and leave these where they are.
  nlohmann::json all = table;
  all = MeasuredClock(dense, LatencyOptions{.batch = 1}, all).table();
  const kernels::MathMode before = kernels::math_mode();
  kernels::set_math_mode({.tf32 = !before.tf32, .deterministic = before.deterministic});
  all = MeasuredClock(dense, LatencyOptions{.batch = 2}, all).table();
  kernels::set_math_mode(before);
  all = MeasuredClock(small_network(), LatencyOptions{.batch = 2, .method = InferenceMethod::kImages}, all).table();
  CHECK(all.at("calls").size() == 4);
  for (const auto& [section, times] : table.items()) {
    if (section != "calls") CHECK(all.at(section) == times);
  }
  CHECK(MeasuredClock(dense, LatencyOptions{.batch = 2}, all).measured() == 0);
}

TEST_CASE("methods of the CPU are refused for a network on a GPU") {
  CHECK_THROWS_WITH(MeasuredClock(on_gpu(small_network()), LatencyOptions{.method = InferenceMethod::kImages}, nlohmann::json()), contains("method images runs on the CPU"));
}
