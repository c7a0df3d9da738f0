// Plans along a path: whatever becomes of the scores between two targets, the smaller network is a part of the larger one.
#include "compress/plan.h"

#include <algorithm>

#include "engine/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/tiny.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

// Independent of those of any other seed; about `dead` of the groups score exactly 0.
Scores random_scores(const Structure& structure, std::uint64_t seed, double dead) {
  Scores scores;
  for (const GroupSet& set : structure.sets) {
    const Tensor random = testing::random_tensor({static_cast<std::int64_t>(set.size())}, 1000 * seed + scores.size(), 0.0f, 1.0f);
    std::vector<double> of_set;
    for (float v : random.values()) of_set.push_back(std::max(0.0, static_cast<double>(v) - dead));
    scores.push_back(std::move(of_set));
  }
  return scores;
}

// Sets whose kept groups aren't all among those of `larger`; a merged pair keeps all its ranks, which cost nothing.
int sets_that_grew(const CompressionPlan& larger, const CompressionPlan& smaller) {
  int grew = 0;
  for (std::size_t s = 0; s < larger.sets.size(); ++s) {
    const auto &then = larger.sets[s].kept, &now = smaller.sets[s].kept;
    const bool whole = now.size() == static_cast<std::size_t>(smaller.sets[s].groups);
    grew += !whole && !std::ranges::includes(then, now);
  }
  return grew;
}

}  // namespace

TEST_CASE("the plans of a path are nested, also where kept groups die between two targets") {
  const Network dense = testing::tiny_network(6);
  int grew_without = 0;
  for (Mode mode : {Mode::kDecompose, Mode::kPrune, Mode::kMixed, Mode::kBoth}) {
    const Structure structure = make_structure(dense.graph(), {.mode = mode, .exclude = {}, .residual = false});
    const Budget budget(structure);
    const Network attached = attach(dense, structure.choice.attach, Initialisation::kSvd2).network;
    for (double dead : {0.0, 0.5, 0.9}) {
      CompressionPlan larger;
      for (double flops : {0.8, 0.6, 0.45}) {
        INFO(name_of(mode) << " dead " << dead << " flops " << flops);
        const Target target{.count = Count::kMacs, .flops = flops, .parameters = {}, .bytes = {}};
        const Scores fresh = random_scores(structure, static_cast<std::uint64_t>(100.0 * flops), flops < 0.8 ? dead : 0.0);
        const Scores scores = larger.sets.empty() ? fresh : scores_after(larger, fresh);
        CompressionPlan plan = make_plan(structure, budget, attached, scores, target);
        CHECK(plan.flops_ratio() <= flops);
        if (!larger.sets.empty()) {
          CHECK(sets_that_grew(larger, plan) == 0);
          grew_without += sets_that_grew(larger, make_plan(structure, budget, attached, fresh, target));
        }
        larger = std::move(plan);
      }
    }
  }
  CHECK(grew_without > 20);  // nothing is nested by itself
  CHECK_THROWS_AS(scores_after({}, Scores(3)), Error);
}
