// Targets in time: under a clock of our own the plan is right to the group; the measured clock agrees with what it measured.
#include "compress/latency.h"

#include <cmath>

#include "compress/plan.h"
#include "engine/core/error.h"
#include "models/registry.h"
#include "tests/compress/random_scores.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

// Filters in steps of 8, a charge for every convolution, 1 for 1000 multiplications, and elements at a tenth.
class SteppedClock final : public LayerClock {
 public:
  double convolution(const Spec&, const Spec& s) const override {
    const auto steps = [](std::int64_t k) { return static_cast<double>((k + 7) / 8 * 8); };
    const double pixels = static_cast<double>(s.p() * s.q()), window = static_cast<double>(s.r * s.s * s.c / s.groups);
    return 10.0 + 1e-3 * pixels * (steps(s.k) * window + steps(s.tail) * static_cast<double>(s.k));
  }
  double elements(double count) const override { return 1e-4 * count; }
};

Structure structure_of(Mode mode) { return make_structure(models::build("resnet20", {}), {.mode = mode, .exclude = {}, .residual = false}); }

Target latency(double share) { return {.count = Count::kMacs, .flops = {}, .parameters = {}, .bytes = {}, .latency = share, .seconds = {}}; }

}  // namespace

TEST_CASE("a share of the time is met by a clock's count, and one threshold less would not meet it") {
  for (Mode mode : {Mode::kDecompose, Mode::kPrune, Mode::kMixed}) {
    const Structure structure = structure_of(mode);
    const Budget budget(structure, std::make_shared<SteppedClock>());
    const Network attached(structure.attached);
    CHECK(budget.dense().seconds > 0.0);
    for (double share : {0.9, 0.7, 0.5}) {
      const Scores scores = random_scores(structure, 3);
      const CompressionPlan plan = make_plan(structure, budget, attached, scores, latency(share));
      CHECK(plan.predicted_after.seconds <= share * budget.dense().seconds);
      const SelectionOptions options{.minimum_share = kMinimumShare, .leader = {}, .carriers = std::vector<std::int64_t>(structure.sets.size(), 0), .rounding = {}};
      double below = 0.0;  // the next lower score that is a threshold
      for (const auto& set : scores) {
        for (double score : set) {
          if (score < plan.threshold) below = std::max(below, score);
        }
      }
      CHECK(size_above(budget, scores, below, options).seconds > share * budget.dense().seconds);
      // In seconds it is the same target.
      Target absolute = latency(share);
      absolute.latency.reset(), absolute.seconds = share * budget.dense().seconds;
      CHECK(make_plan(structure, budget, attached, scores, absolute).sets == plan.sets);
    }
  }
}

TEST_CASE("with a clock no pair stays a pair that takes as long as its merged convolution, though it has fewer operations") {
  const Structure structure = structure_of(Mode::kDecompose);
  const Budget by_time(structure, std::make_shared<SteppedClock>()), by_macs(structure);
  // Rank 7 of 16 has 0.49 of the operations; its first half is charged for 8 filters and the pair twice for being one.
  int differ = 0;
  for (std::int64_t rank = 1; rank <= 16; ++rank) {
    std::vector<std::int64_t> kept;
    for (const GroupSet& set : structure.sets) kept.push_back(std::min<std::int64_t>(rank, static_cast<std::int64_t>(set.size())));
    const std::vector<bool> faster = by_time.pairs_that_pay(kept), fewer = by_macs.pairs_that_pay(kept);
    const SteppedClock clock;
    for (std::size_t i = 0; i < structure.pairs.size(); ++i) {
      const auto& a = std::get<ConvAttributes>(structure.dense.at(structure.dense.find(structure.pairs[i].layer)).attributes);
      const FeatureShape in = infer_shapes(structure.dense)[static_cast<std::size_t>(structure.dense.at(structure.dense.find(structure.pairs[i].layer)).inputs[0])];
      LayerClock::Spec merged{.h = in.h, .w = in.w, .c = a.in, .k = a.out, .r = 3, .s = 3, .stride = a.stride, .padding = 1}, pair = merged;
      pair.k = kept[i], pair.tail = a.out;
      CHECK(faster[i] == (clock.convolution(pair, pair) < clock.convolution(merged, merged)));
      differ += faster[i] != fewer[i];
    }
  }
  CHECK(differ > 0);
}

TEST_CASE("times on the way to a target: progress is 0 at the dense network and 1 at the target") {
  const Structure structure = structure_of(Mode::kPrune);
  const Budget budget(structure, std::make_shared<SteppedClock>());
  const Target target = latency(0.5);
  CHECK(target.progress(budget.dense(), budget.dense()) == testing::Approx(0.0).margin(1e-12));
  Size half = budget.dense();
  half.seconds *= 0.5;
  CHECK(target.progress(half, budget.dense()) == testing::Approx(1.0));
  CHECK(target.met_by(half, budget.dense()));
  CHECK(target.at(0.5, budget.dense()).latency == testing::Approx(0.75));
}

TEST_CASE("a plan keeps its target in time and the predicted seconds through JSON") {
  const Structure structure = structure_of(Mode::kPrune);
  const Budget budget(structure, std::make_shared<SteppedClock>());
  const Network attached(structure.attached);
  const CompressionPlan plan = make_plan(structure, budget, attached, random_scores(structure, 5), latency(0.6));
  const CompressionPlan again = plan_from_json(plan_to_json(plan));
  CHECK(again == plan);
  CHECK(again.predicted_after.seconds == plan.predicted_after.seconds);
  CHECK(again.target.to_string() == "latency=0.6");
}

TEST_CASE("the measured clock gives the dense network the time it was measured to take, and its table spares measuring again") {
  const Graph graph = models::build("resnet8", {.classes = 10, .input = {16, 16, 3}});
  for (InferenceMethod method : {InferenceMethod::kImages, InferenceMethod::kChannels}) {
    const Structure structure = make_structure(graph, {.mode = Mode::kDecompose, .exclude = {}, .residual = false});
    const auto clock = std::make_shared<MeasuredClock>(Network(graph), LatencyOptions{.batch = 4, .method = method}, nlohmann::json());
    const Budget budget(structure, clock);
    const nlohmann::json table = clock->table();
    REQUIRE(table.at("calls").size() == 1);
    const double whole = table.at("calls").front().at("seconds");
    CHECK(budget.dense().seconds == testing::Approx(whole).epsilon(1e-9));
    // A call is known by what its layers are known by: another processor's, or one of before a faster form, is measured again.
    const std::string key = table.at("calls").begin().key(), machine = LaneStopwatch(kernels::lanes::Lanes::kImages).machine();
    REQUIRE_THAT(key, testing::contains(machine));
    nlohmann::json other = table;
    other["calls"] = {{key.substr(0, key.find(machine)) + "an abacus", {{"method", name_of(method)}, {"seconds", 1e6}, {"convolutions", 1e6}}}};
    CHECK(Budget(structure, std::make_shared<MeasuredClock>(Network(graph), LatencyOptions{.batch = 4, .method = method}, other)).dense().seconds < 1e3);
    // From the table, without a stopwatch: exactly the same.
    const auto second = std::make_shared<MeasuredClock>(Network(graph), LatencyOptions{.batch = 4, .method = method}, table);
    const Budget again(structure, second);
    CHECK(again.dense().seconds == budget.dense().seconds);
    CHECK(second->table() == table);
    std::vector<std::int64_t> fewest(structure.sets.size(), 1);
    CHECK(budget.size(fewest).seconds < budget.dense().seconds);
    CHECK(again.size(fewest).seconds == budget.size(fewest).seconds);
  }
  CHECK_THROWS_AS(MeasuredClock(Network(graph), LatencyOptions{}, nlohmann::json::array()), Error);
}

TEST_CASE("layer times are what was measured on the grid, between it they lie between, and another machine's are not used") {
  using Spec = LayerTimes::Spec;
  const Spec full{.h = 4, .w = 4, .c = 32, .k = 32, .r = 3, .s = 3, .padding = 1};
  LayerTimes times(kernels::lanes::Lanes::kImages);
  nlohmann::json json = times.to_json();
  const auto with = [&](std::int64_t c, std::int64_t k) {
    Spec spec = full;
    spec.c = c, spec.k = k;
    return spec;
  };
  for (std::int64_t c : {1, 4, 8, 12, 16, 20, 24, 28, 32}) {
    for (std::int64_t k : {1, 4, 8, 12, 16, 20, 24, 28, 32}) json["times"][with(c, k).to_string()] = 1.0 + static_cast<double>(c) + 100.0 * static_cast<double>(k * c);
  }
  times.add_json(json);
  for (std::int64_t c : {1, 2, 7, 8, 31, 32}) {  // bilinear in c and k: so is what the table holds
    for (std::int64_t k : {1, 3, 8, 15, 32}) CHECK(times.seconds(full, with(c, k)) == testing::Approx(1.0 + static_cast<double>(c) + 100.0 * static_cast<double>(k * c)));
  }
  CHECK(times.measured() == 0);
  json["machine"] = "an abacus";
  LayerTimes other(kernels::lanes::Lanes::kImages);
  other.add_json(json);
  CHECK(other.seconds(full, full) < 1.0);
  CHECK(other.measured() == 1);
  CHECK_THROWS_AS(other.add_json({{"machine", 1}}), Error);

  // With filters in the lanes 17 of them cost what the next whole register does.
  const std::int64_t lanes = kernels::lanes::lanes_of(kernels::lanes::Lanes::kImages);
  LayerTimes channels(kernels::lanes::Lanes::kChannels);
  CHECK(channels.seconds(full, with(32, lanes + 1)) == channels.seconds(full, with(32, std::min<std::int64_t>(32, 2 * lanes))));
}
