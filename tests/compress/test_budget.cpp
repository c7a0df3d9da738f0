#include "compress/budget.h"

#include <algorithm>

#include "engine/core/error.h"
#include "models/registry.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

struct Case {
  Graph dense = models::build("resnet20", {});
  std::vector<FactorPair> pairs = pairs_of(attachable_layers(dense));
  std::vector<std::int64_t> full;
  Graph attached;

  Case() {
    for (const FactorPair& pair : pairs) full.push_back(std::get<ConvAttributes>(dense.at(dense.find(pair.layer)).attributes).out);
    attached = with_pairs(dense, pairs, full);
  }
  Budget budget(Count count = Count::kMacs) const { return Budget(dense, attached, pairs, count); }
  std::vector<std::vector<double>> scores(std::uint64_t seed, bool with_ties) const {
    std::vector<std::vector<double>> result;
    for (std::size_t i = 0; i < full.size(); ++i) {
      const Tensor random = testing::random_tensor({full[i]}, seed + i, 0.0f, 1.0f);
      std::vector<double> layer;
      for (float v : random.values()) layer.push_back(with_ties ? std::round(static_cast<double>(v) * 8.0) / 8.0 : static_cast<double>(v));
      result.push_back(layer);
    }
    return result;
  }
};

}  // namespace

TEST_CASE("the budget counts what a network with these ranks would cost, in both counts") {
  const Case c;
  for (std::int64_t cut : {1, 2, 3, 5}) {
    std::vector<std::int64_t> ranks;
    for (std::int64_t rank : c.full) ranks.push_back(std::max<std::int64_t>(1, rank / (cut + 1)));
    const Budget budget = c.budget();
    for (std::size_t i = 0; i < ranks.size(); ++i) REQUIRE(budget.pair_pays(i, ranks[i]));
    CHECK(budget.total(ranks) == cost_of(with_pairs(c.dense, c.pairs, ranks)));
  }
  CHECK(c.budget().total(c.full) == cost_of(c.dense));  // pairs of full rank don't pay: merged
}

TEST_CASE("no smaller threshold meets the target: the choice is the exact one") {
  const Case c;
  for (Count count : {Count::kMacs, Count::kReference}) {
    const Budget budget = c.budget(count);
    for (std::uint64_t seed : {1, 2, 3}) {
      for (bool ties : {false, true}) {
        const auto scores = c.scores(seed, ties);
        for (double target : {1.0, 0.9, 0.75, 0.5, 0.33, 0.3}) {
          INFO("seed " << seed << " ties " << ties << " target " << target);
          const RankChoice choice = choose_ranks(budget, scores, target);
          REQUIRE(choice.reaches_target);
          CHECK(choice.ratio <= target);
          CHECK(choice.ratio == budget.ratio(choice.ranks));
          // Brute force over every threshold that could make a difference.
          double highest = 0.0;
          std::vector<double> candidates = {0.0};
          for (const auto& layer : scores) candidates.insert(candidates.end(), layer.begin(), layer.end());
          for (double t : candidates) {
            const double ratio = ratio_above(budget, scores, t);
            if (ratio <= target) highest = std::max(highest, ratio);
          }
          CHECK(choice.ratio == highest);
          for (std::size_t i = 0; i < choice.kept.size(); ++i) {
            CHECK(static_cast<std::int64_t>(choice.kept[i].size()) == choice.ranks[i]);
            CHECK(choice.ranks[i] >= minimum_rank(c.full[i]));
            CHECK(std::is_sorted(choice.kept[i].begin(), choice.kept[i].end()));
          }
        }
      }
    }
  }
}

TEST_CASE("without ties the target is missed by less than the cost of one group") {
  const Case c;
  const Budget budget = c.budget();
  double dearest = 0.0;
  for (std::size_t i = 0; i < c.full.size(); ++i) {
    const std::int64_t paying = minimum_rank(c.full[i]);
    const auto macs = budget.layer_cost(i, paying + 1).macs - budget.layer_cost(i, paying).macs;
    dearest = std::max(dearest, static_cast<double>(macs) / static_cast<double>(budget.dense().macs));
  }
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const RankChoice choice = choose_ranks(budget, c.scores(seed, false), 0.5);
    CHECK(0.5 - choice.ratio < dearest);
  }
}

TEST_CASE("a layer never loses its highest groups nor falls below its minimum, even if all scores are zero") {
  const Case c;
  std::vector<std::vector<double>> scores;
  for (std::int64_t rank : c.full) scores.emplace_back(static_cast<std::size_t>(rank), 0.0);
  const RankChoice choice = choose_ranks(c.budget(), scores, 0.5);
  CHECK(choice.ratio == least_ratio(c.budget(), c.full));
  for (std::size_t i = 0; i < c.full.size(); ++i) CHECK(choice.ranks[i] == minimum_rank(c.full[i]));
  CHECK_FALSE(choose_ranks(c.budget(), scores, 0.01).reaches_target);
}

TEST_CASE("a NaN score is refused") {
  const Case c;
  auto scores = c.scores(1, false);
  scores[3][2] = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(choose_ranks(c.budget(), scores, 0.5), Error);
}
