#include "compress/surgery.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/random_graph.h"
#include "tests/support/tiny.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

const std::vector<Mode> kEveryMode = {Mode::kAuto, Mode::kDecompose, Mode::kPrune, Mode::kMixed, Mode::kBoth};

struct Case {
  Structure structure;
  Network attached;
  Budget budget;
  Case(const Network& dense, const GroupOptions& options)
      : structure(make_structure(dense.graph(), options)),
        attached(attach(dense, structure.choice.attach, Initialisation::kSvd2).network),
        budget(structure) {}
  explicit Case(const Network& dense, Mode mode = Mode::kDecompose) : Case(dense, GroupOptions{.mode = mode, .exclude = {}, .residual = false}) {}

  Scores scores(std::uint64_t seed) const {
    Scores result;
    for (const GroupSet& set : structure.sets) {
      const Tensor random = testing::random_tensor({static_cast<std::int64_t>(set.size())}, seed + result.size(), 0.0f, 1.0f);
      result.emplace_back(random.values().begin(), random.values().end());
    }
    return result;
  }
  CompressionPlan plan(double flops, std::uint64_t seed, Count count = Count::kMacs) const {
    return make_plan(structure, budget, attached, scores(seed), {.count = count, .flops = flops, .parameters = {}, .bytes = {}});
  }
};

Proof prove(Network& a, Network& b) {
  const FeatureShape& in = a.graph().input;
  Proof proof;
  extend_proof(proof, a, b, testing::random_tensor({6, in.h, in.w, in.c}, 99, -2.0f, 2.0f), Stream());
  return proof;
}

}  // namespace

TEST_CASE("attaching matrices does not change the function") {
  for (const char* shortcut : {"A-pool", "A-stride", "C"}) {
    for (const char* init : {"svd", "svd2", "identity"}) {
      INFO(shortcut << " " << init);
      Network network = testing::tiny_network(4, shortcut);
      const auto choice = choose_groups(network.graph(), {.mode = Mode::kDecompose, .exclude = {}, .residual = false});
      Attached attached = attach(network, choice.attach, initialisation_of(init));
      CHECK(attached.pairs.size() == 6);
      CHECK((prove(network, attached.network).relative() <= kProofBound));
    }
  }
}

TEST_CASE("compressing with nothing removed changes nothing and gives the dense network back") {
  for (Mode mode : kEveryMode) {
    Network network = testing::tiny_network(5);
    const Case c(network, mode);
    Network shrunken = apply(c.plan(1.0, 1), c.structure, c.attached);
    CHECK(shrunken.graph() == network.graph());
    CHECK((prove(network, shrunken).relative() <= kProofBound));
  }
}

TEST_CASE("the shrunken network computes what the masked one does, and costs what the plan predicted") {
  for (Mode mode : kEveryMode) {
    for (const char* shortcut : {"A-pool", "A-stride", "C"}) {
      for (double target : {0.85, 0.5, 0.35}) {
        INFO(name_of(mode) << " " << shortcut << " " << target);
        Case c(testing::tiny_network(6, shortcut), mode);
        if (!Target{.count = Count::kMacs, .flops = target, .parameters = {}, .bytes = {}}.met_by(least_size(c.budget, {}), c.budget.dense())) continue;
        const CompressionPlan plan = c.plan(target, 7);
        CHECK(plan.flops_ratio() <= target);
        Network unmasked = c.attached.clone();
        Network shrunken = apply(plan, c.structure, c.attached);
        CHECK(size_of(shrunken.graph()) == plan.predicted_after);
        mask(plan, c.structure, c.attached);
        CHECK((prove(c.attached, shrunken).relative() <= kProofBound));
        CHECK(prove(unmasked, shrunken).relative() > kProofBound);  // the proof can fail
      }
    }
  }
}

TEST_CASE("residual streams can be pruned through all the convolutions that make them") {
  for (const char* shortcut : {"A-pool", "A-stride", "C"}) {
    Case c(testing::tiny_network(6, shortcut), GroupOptions{.mode = Mode::kPrune, .exclude = {}, .residual = true});
    const auto stream = std::ranges::find_if(c.structure.sets, [](const GroupSet& set) { return set.slices.size() > 1; });
    REQUIRE(stream != c.structure.sets.end());
    const CompressionPlan plan = c.plan(0.4, 3);
    Network shrunken = apply(plan, c.structure, c.attached);
    CHECK(size_of(shrunken.graph()) == plan.predicted_after);
    mask(plan, c.structure, c.attached);
    CHECK((prove(c.attached, shrunken).relative() <= kProofBound));
  }
}

TEST_CASE("random graphs keep their function through attachment, plan and surgery in every mode") {
  int compressed = 0;
  for (std::uint64_t seed = 1001; seed <= 1120; ++seed) {
    const Network dense = testing::random_network(testing::random_graph(seed), seed);
    for (Mode mode : kEveryMode) {
      INFO("seed " << seed << " mode " << name_of(mode));
      Case c(dense, GroupOptions{.mode = mode, .exclude = {}, .residual = seed % 2 == 0});
      if (c.structure.sets.empty()) continue;
      const CompressionPlan plan = c.plan(0.6, seed);
      Network shrunken = apply(plan, c.structure, c.attached);
      CHECK(size_of(shrunken.graph()) == plan.predicted_after);
      mask(plan, c.structure, c.attached);
      CHECK((prove(c.attached, shrunken).relative() <= kProofBound));
      compressed += shrunken.graph() == dense.graph() ? 0 : 1;
    }
  }
  CHECK(compressed >= 250);
}

TEST_CASE("a plan survives JSON, and a wrong one is refused") {
  const Case c(testing::tiny_network(8), Mode::kBoth);
  const CompressionPlan plan = c.plan(0.6, 2, Count::kReference);
  const nlohmann::json json = plan_to_json(plan);
  CHECK(plan_from_json(nlohmann::json::parse(json.dump())) == plan);
  for (const char* key : {"format", "target", "threshold", "before", "predicted_after", "sets", "pairs"}) {
    nlohmann::json broken = json;
    broken.erase(key);
    CHECK_THROWS_AS(plan_from_json(broken), Error);
    broken = json;
    broken[key] = nullptr;
    CHECK_THROWS_AS(plan_from_json(broken), Error);
  }
  for (const nlohmann::json& kept : {nlohmann::json{3, 2}, nlohmann::json{100000}, nlohmann::json::array(), nlohmann::json{-1}}) {
    nlohmann::json broken = json;
    broken["sets"][0]["kept"] = kept;
    CHECK_THROWS_AS(plan_from_json(broken), Error);
  }
}

TEST_CASE("a plan for another network is refused") {
  Case c(testing::tiny_network(8));
  CompressionPlan plan = c.plan(0.6, 2);
  plan.sets[1].groups += 1;
  CHECK_THROWS_AS(apply(plan, c.structure, c.attached), Error);
  plan.sets.pop_back();
  CHECK_THROWS_AS(mask(plan, c.structure, c.attached), Error);
}

TEST_CASE("a proof on NaN fails") {
  Network network = testing::tiny_network(9), other = testing::tiny_network(9);
  other.parameter("linear.bias").value.mutable_data()[0] = NAN;
  CHECK(!(prove(network, other).relative() <= kProofBound));
}

TEST_CASE("a proof that met NaN stays failed, whatever images follow") {
  Network network = testing::tiny_network(9), same = testing::tiny_network(9);
  Tensor images = testing::random_tensor({2, 32, 32, 3}, 1);
  Proof proof;
  images.mutable_data()[5] = NAN;
  extend_proof(proof, network, same, images, Stream());
  images.mutable_data()[5] = 0.0f;
  extend_proof(proof, network, same, images, Stream());
  CHECK(proof.images == 4);
  CHECK_FALSE(proof.relative() <= kProofBound);
}
