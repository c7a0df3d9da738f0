#include "compress/budget.h"

#include <algorithm>
#include <cmath>

#include "compress/plan.h"
#include "compress/surgery.h"
#include "engine/core/error.h"
#include "models/registry.h"
#include "tests/compress/dearest_group.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

struct Case {
  Structure structure;
  Budget budget;
  explicit Case(Mode mode = Mode::kDecompose, const char* model = "resnet20")
      : structure(make_structure(models::build(model, {}), {.mode = mode, .exclude = {}, .residual = false})), budget(structure) {}

  std::vector<std::int64_t> full() const {
    std::vector<std::int64_t> counts;
    for (const GroupSet& set : structure.sets) counts.push_back(static_cast<std::int64_t>(set.size()));
    return counts;
  }
  Scores scores(std::uint64_t seed, bool with_ties) const {
    Scores result;
    for (std::size_t i = 0; i < structure.sets.size(); ++i) {
      const Tensor random = testing::random_tensor({static_cast<std::int64_t>(structure.sets[i].size())}, seed + i, 0.0f, 1.0f);
      std::vector<double> layer;
      for (float v : random.values()) layer.push_back(with_ties ? std::round(static_cast<double>(v) * 8.0) / 8.0 : static_cast<double>(v));
      result.push_back(layer);
    }
    return result;
  }
};

Target flops(double share, Count count = Count::kMacs) { return {.count = count, .flops = share, .parameters = {}, .bytes = {}}; }

}  // namespace

TEST_CASE("the budget counts what the network that surgery makes costs, in every mode") {
  for (Mode mode : {Mode::kDecompose, Mode::kPrune, Mode::kMixed, Mode::kBoth}) {
    const Case c(mode);
    const Network attached(c.structure.attached);
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      std::vector<std::vector<int>> kept;
      for (std::size_t s = 0; s < c.structure.sets.size(); ++s) {
        const auto groups = static_cast<std::int64_t>(c.structure.sets[s].size());
        const auto wanted = 1 + static_cast<std::int64_t>(static_cast<double>(testing::random_tensor({1}, seed * 100 + s, 0.0f, 0.999f).item()) * static_cast<double>(groups));
        std::vector<int> list;
        for (int g = 0; g < wanted; ++g) list.push_back(g);
        kept.push_back(list);
      }
      const CompressionPlan plan = plan_keeping(c.structure, c.budget, attached, kept, flops(1.0));
      CHECK(size_of(apply(plan, c.structure, attached).graph()) == plan.predicted_after);
    }
  }
}

TEST_CASE("with all groups kept the cost is the dense network's: pairs of full rank don't pay") {
  for (Mode mode : {Mode::kDecompose, Mode::kPrune, Mode::kMixed, Mode::kBoth}) {
    const Case c(mode);
    CHECK(c.budget.size(c.full()) == c.budget.dense());
    CHECK(c.budget.dense() == size_of(c.structure.dense));
  }
}

TEST_CASE("no smaller threshold meets the target: the choice is the exact one") {
  for (Mode mode : {Mode::kDecompose, Mode::kBoth}) {
    const Case c(mode);
    for (std::uint64_t seed : {1, 2}) {
      for (bool ties : {false, true}) {
        const Scores scores = c.scores(seed, ties);
        const std::vector<Target> targets = {
            flops(1.0), flops(0.75), flops(0.5, Count::kReference), flops(0.35), {.count = Count::kMacs, .flops = {}, .parameters = 0.6, .bytes = {}}, {.count = Count::kMacs, .flops = 0.8, .parameters = 0.55, .bytes = 700'000}};
        for (const Target& target : targets) {
          INFO("seed " << seed << " ties " << ties << " target " << target.to_string());
          const Selection selection = select_groups(c.budget, scores, target, {});
          REQUIRE(selection.reaches_target);
          CHECK(target.met_by(selection.size, c.budget.dense()));
          // Brute force over every threshold that could make a difference.
          std::int64_t largest = 0;
          std::vector<double> candidates = {0.0};
          for (const auto& layer : scores) candidates.insert(candidates.end(), layer.begin(), layer.end());
          for (double t : candidates) {
            const Size size = size_above(c.budget, scores, t, {});
            if (target.met_by(size, c.budget.dense())) largest = std::max(largest, size.cost.macs);
          }
          CHECK(selection.size.cost.macs == largest);
          for (std::size_t i = 0; i < selection.kept.size(); ++i) {
            CHECK(static_cast<std::int64_t>(selection.kept[i].size()) >= minimum_groups(c.budget.groups(i)));
            CHECK(std::is_sorted(selection.kept[i].begin(), selection.kept[i].end()));
          }
        }
      }
    }
  }
}

TEST_CASE("without ties the target is missed by less than the cost of one group") {
  for (Mode mode : {Mode::kDecompose, Mode::kPrune, Mode::kBoth}) {
    const Case c(mode);
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      const Selection selection = select_groups(c.budget, c.scores(seed, false), flops(0.55), {});
      const double gap = 0.55 * static_cast<double>(c.budget.dense().cost.macs) - static_cast<double>(selection.size.cost.macs);
      CHECK(gap < static_cast<double>(dearest_group(c.budget, selection)));
    }
  }
}

TEST_CASE("a set never loses its highest groups nor falls below its minimum, even if all scores are zero") {
  const Case c;
  Scores scores;
  for (const GroupSet& set : c.structure.sets) scores.emplace_back(set.size(), 0.0);
  const Selection selection = select_groups(c.budget, scores, flops(0.5), {});
  CHECK(selection.size == least_size(c.budget, {}));
  for (std::size_t i = 0; i < selection.kept.size(); ++i) {
    CHECK(static_cast<std::int64_t>(selection.kept[i].size()) == minimum_groups(c.budget.groups(i)));
  }
  CHECK_FALSE(select_groups(c.budget, scores, flops(0.01), {}).reaches_target);
}

TEST_CASE("with the same ratio, the second matrix of a block keeps as many groups as the first, its largest") {
  const Case c;
  const SelectionOptions same{.minimum_share = 0.2, .leader = same_ratio_leaders(c.structure.sets), .carriers = {}, .rounding = {}};
  const Scores scores = c.scores(5, false);
  const Selection selection = select_groups(c.budget, scores, flops(0.5), same);
  int followers = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const int leader = same.leader[i];
    if (leader < 0) continue;
    ++followers;
    CHECK(c.structure.sets[i].block == c.structure.sets[static_cast<std::size_t>(leader)].block);
    CHECK(selection.kept[i].size() == selection.kept[static_cast<std::size_t>(leader)].size());
    for (int in : selection.kept[i]) {
      for (int out = 0; out < static_cast<int>(scores[i].size()); ++out) {
        if (!std::ranges::binary_search(selection.kept[i], out)) CHECK(scores[i][static_cast<std::size_t>(in)] >= scores[i][static_cast<std::size_t>(out)]);
      }
    }
  }
  CHECK(followers == 9);
}

TEST_CASE("progress is 0 for the dense network, 1 at the target, and its inverse is a target") {
  const Case c;
  const Size& dense = c.budget.dense();
  const Target target{.count = Count::kMacs, .flops = 0.5, .parameters = 0.4, .bytes = dense.bytes / 2};
  CHECK(target.progress(dense, dense) == 0.0);
  for (double p : {0.0, 0.3, 0.7, 1.0}) {
    const Target on_the_way = target.at(p, dense);
    CHECK(*on_the_way.flops == testing::Approx(1.0 - p * 0.5));
    CHECK(*on_the_way.parameters == testing::Approx(1.0 - p * 0.6));
    Size there = dense;
    there.cost.macs = static_cast<std::int64_t>(static_cast<double>(dense.cost.macs) * *on_the_way.flops);
    there.cost.parameters = static_cast<std::int64_t>(static_cast<double>(dense.cost.parameters) * *on_the_way.parameters);
    there.bytes = *on_the_way.bytes;
    CHECK(std::abs(target.progress(there, dense) - p) <= 1e-5);
    CHECK(on_the_way.met_by(there, dense));
  }
}

TEST_CASE("a NaN score is refused") {
  const Case c;
  Scores scores = c.scores(1, false);
  scores[3][2] = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(select_groups(c.budget, scores, flops(0.5), {}), Error);
}
