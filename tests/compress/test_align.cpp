// Rounded counts: what they may be, and that a target is met with them as exactly as without.
#include "compress/align.h"

#include <algorithm>

#include "compress/plan.h"
#include "engine/core/error.h"
#include "engine/nn/network.h"
#include "models/registry.h"
#include "tests/compress/random_scores.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

Structure structure_of(Mode mode, const char* model = "resnet20") {
  return make_structure(models::build(model, {}), {.mode = mode, .exclude = {}, .residual = false});
}

// One multiplication a nanosecond; filters in steps of `step`, those of a tail in proportion and at half the price.
class Clock final : public LayerClock {
 public:
  explicit Clock(std::int64_t step) : step_(step) {}
  double convolution(const Spec&, const Spec& s) const override {
    const std::int64_t filters = (s.k + step_ - 1) / step_ * step_;
    return 1e-9 * static_cast<double>(s.p() * s.q() * (filters * s.r * s.s * s.c / s.groups + s.tail * s.k / 2));
  }
  double elements(double count) const override { return 1e-12 * count; }

 private:
  std::int64_t step_;
};

// The first rank of a set from which on its pair is no faster than the merged convolution.
std::int64_t break_even(const Budget& budget, const Structure& structure, std::size_t set) {
  const auto pair = std::ranges::find(structure.pairs, structure.sets[set].layer, &FactorPair::layer) - structure.pairs.begin();
  std::vector<std::int64_t> counts;
  for (std::size_t s = 0; s < budget.sets(); ++s) counts.push_back(budget.groups(s));
  for (counts[set] = 1; budget.pairs_that_pay(counts)[static_cast<std::size_t>(pair)]; ++counts[set]) {
  }
  return counts[set];
}

}  // namespace

TEST_CASE("a rounded count is the next multiple of channels, or all groups, in every family") {
  const auto [model, mode] = GENERATE(std::pair("resnet20", Mode::kDecompose), std::pair("vgg16", Mode::kBoth), std::pair("resnext20", Mode::kAuto), std::pair("densenet40", Mode::kDecompose));
  const Structure structure = structure_of(mode, model);
  const Budget budget(structure);
  for (const std::int64_t multiple : {1, 2, 8, 12, 32}) {
    const Rounding rounding = rounded_to_multiples(budget, multiple);
    REQUIRE(rounding.size() == structure.sets.size());
    for (std::size_t set = 0; set < rounding.size(); ++set) {
      const std::int64_t groups = budget.groups(set), per_group = budget.channels_per_group(set);
      REQUIRE(static_cast<std::int64_t>(rounding[set].size()) == groups + 1);
      for (std::int64_t n = 0; n <= groups; ++n) {
        const std::int64_t count = rounding[set][static_cast<std::size_t>(n)];
        CHECK(count >= n);
        CHECK((count == groups || count * per_group % multiple == 0));
        for (std::int64_t between = n; between < count; ++between) CHECK(between * per_group % multiple != 0);
      }
    }
  }
  CHECK_THROWS_AS(rounded_to_multiples(budget, 0), Error);
}

TEST_CASE("ranks are rounded to a clock's steps while their pair pays, and to all where it doesn't") {
  const Structure structure = structure_of(Mode::kDecompose);
  const std::int64_t step = GENERATE(1, 4, 8);
  const Budget budget(structure, std::make_shared<Clock>(step));
  const Rounding rounding = rounded_where_free(budget);
  for (std::size_t set = 0; set < rounding.size(); ++set) {
    const std::int64_t groups = budget.groups(set), full = break_even(budget, structure, set);
    CAPTURE(structure.sets[set].name, full);
    CHECK(full > 1);
    for (std::int64_t n = 1; n <= groups; ++n) {
      const std::int64_t next = (n + step - 1) / step * step;
      const std::int64_t count = rounding[set][static_cast<std::size_t>(n)];
      if (n >= full) {
        CHECK(count == groups);
      } else if (next + 2 * 8 <= full) {
        CHECK(count == next);
      } else {  // the last steps before the merged convolution are small ones
        CHECK((count == n || count == next || count == groups));
      }
    }
  }
}

TEST_CASE("nothing is rounded where time is in proportion to channels, nor where the next layer would pay for it") {
  // A filter in steps of 8 is an input channel of the next convolution, which costs what it is.
  const Structure structure = structure_of(Mode::kPrune);
  for (const std::int64_t step : {1, 8}) {
    const Budget budget(structure, std::make_shared<Clock>(step));
    for (const auto& counts : rounded_where_free(budget)) {
      for (std::size_t n = 1; n < counts.size(); ++n) CHECK(counts[n] == static_cast<std::int64_t>(n));
    }
  }
  CHECK_THROWS_AS(rounded_where_free(Budget(structure)), Error);
}

TEST_CASE("a target is met with rounded counts, carriers included; with ranks one threshold less would not meet it") {
  const Mode mode = GENERATE(Mode::kDecompose, Mode::kPrune, Mode::kMixed);
  const Structure structure = structure_of(mode);
  const Budget budget(structure);
  Network dense(structure.dense);
  initialise(dense, 7);
  for (Parameter* parameter : dense.parameters()) {  // constants that somebody has to carry
    if (parameter->name.ends_with(".bias")) parameter->value.copy_from(testing::random_tensor(parameter->value.shape(), 8, -1.0f, 1.0f));
  }
  const Network attached = attach(dense, structure.choice.attach, Initialisation::kSvd2).network;
  const Scores scores = random_scores(structure, 11);
  std::size_t carriers = 0;
  for (const double share : {0.8, 0.5}) {
    const Target target{.count = Count::kMacs, .flops = share, .parameters = {}, .bytes = {}, .latency = {}, .seconds = {}};
    const SelectionOptions selecting{.minimum_share = kMinimumShare, .leader = {}, .carriers = {}, .rounding = rounded_to_multiples(budget, 4)};
    const CompressionPlan plan = make_plan(structure, budget, attached, scores, target, selecting);
    CHECK(target.met_by(plan.predicted_after, budget.dense()));
    double below = 0.0;
    for (std::size_t set = 0; set < plan.sets.size(); ++set) {
      const std::size_t left = plan.sets[set].kept.size() + plan.sets[set].carriers.size();
      CHECK((left % 4 == 0 || left == scores[set].size()));
      carriers += plan.sets[set].carriers.size();
      for (double score : scores[set]) {
        if (score < plan.threshold) below = std::max(below, score);
      }
    }
    if (mode != Mode::kDecompose) continue;  // where there are carriers, the choice may have allowed for more than the plan needs
    CHECK_FALSE(target.met_by(size_above(budget, scores, below, selecting), budget.dense()));
  }
  CHECK((carriers > 0) == (mode != Mode::kDecompose));
}
