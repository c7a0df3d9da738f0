#include "compress/surgery.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/tiny.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

Attached attach_all(const Network& network, const char* init = "svd2") {
  return attach(network, attachable_layers(network.graph()), initialisation_of(init));
}

std::vector<std::vector<double>> random_scores(const Attached& attached, std::uint64_t seed) {
  std::vector<std::vector<double>> scores;
  for (std::int64_t rank : ranks_of(attached.network.graph(), attached.pairs)) {
    const Tensor random = testing::random_tensor({rank}, seed + scores.size(), 0.0f, 1.0f);
    scores.emplace_back(random.values().begin(), random.values().end());
  }
  return scores;
}

Proof prove(Network& a, Network& b) {
  Proof proof;
  extend_proof(proof, a, b, testing::random_tensor({6, 32, 32, 3}, 99, -2.0f, 2.0f), Stream());
  return proof;
}

}  // namespace

TEST_CASE("attaching matrices does not change the function") {
  for (const char* shortcut : {"A-pool", "A-stride", "C"}) {
    for (const char* init : {"svd", "svd2", "identity"}) {
      INFO(shortcut << " " << init);
      Network network = testing::tiny_network(4, shortcut);
      Attached attached = attach_all(network, init);
      CHECK(attached.pairs.size() == 6);
      CHECK((prove(network, attached.network).relative() <= kProofBound));
    }
  }
}

TEST_CASE("compressing with nothing removed changes nothing and gives the dense network back") {
  Network network = testing::tiny_network(5);
  Attached attached = attach_all(network);
  const Budget budget(network.graph(), attached.network.graph(), attached.pairs, Count::kMacs);
  const CompressionPlan plan = make_plan(budget, attached.pairs, random_scores(attached, 1), 1.0);
  Network shrunken = apply(plan, attached.pairs, attached.network);
  CHECK(shrunken.graph() == network.graph());
  CHECK((prove(network, shrunken).relative() <= kProofBound));
}

TEST_CASE("the shrunken network computes what the masked one does, and costs what the plan predicted") {
  for (const char* shortcut : {"A-pool", "A-stride", "C"}) {
    for (double target : {0.85, 0.5, 0.3}) {
      INFO(shortcut << " " << target);
      Network network = testing::tiny_network(6, shortcut);
      Attached attached = attach_all(network);
      const Budget budget(network.graph(), attached.network.graph(), attached.pairs, Count::kMacs);
      const CompressionPlan plan = make_plan(budget, attached.pairs, random_scores(attached, 7), target);
      CHECK(plan.predicted_ratio() <= target);
      Network shrunken = apply(plan, attached.pairs, attached.network);
      CHECK(cost_of(shrunken.graph()) == plan.predicted_after);
      mask(plan, attached.pairs, attached.network);
      CHECK((prove(attached.network, shrunken).relative() <= kProofBound));
      // The proof can fail: the unmasked network is something else.
      Attached unmasked = attach_all(network);
      CHECK(prove(unmasked.network, shrunken).relative() > kProofBound);
    }
  }
}

TEST_CASE("a plan survives JSON, and a wrong one is refused") {
  Network network = testing::tiny_network(8);
  Attached attached = attach_all(network);
  const Budget budget(network.graph(), attached.network.graph(), attached.pairs, Count::kReference);
  const CompressionPlan plan = make_plan(budget, attached.pairs, random_scores(attached, 2), 0.6);
  const nlohmann::json json = plan_to_json(plan);
  CHECK(plan_from_json(nlohmann::json::parse(json.dump())) == plan);
  for (const char* key : {"format", "count", "target", "threshold", "before", "predicted_after", "edits"}) {
    nlohmann::json broken = json;
    broken.erase(key);
    CHECK_THROWS_AS(plan_from_json(broken), Error);
    broken = json;
    broken[key] = nullptr;
    CHECK_THROWS_AS(plan_from_json(broken), Error);
  }
  nlohmann::json broken = json;
  broken["edits"][0]["kept_rows"] = {3, 2};
  CHECK_THROWS_AS(plan_from_json(broken), Error);
  broken["edits"][0]["kept_rows"] = {100000};
  CHECK_THROWS_AS(plan_from_json(broken), Error);
  broken["edits"][0]["kept_rows"] = nlohmann::json::array();
  CHECK_THROWS_AS(plan_from_json(broken), Error);
}

TEST_CASE("a plan for another network is refused") {
  Network network = testing::tiny_network(8);
  Attached attached = attach_all(network);
  const Budget budget(network.graph(), attached.network.graph(), attached.pairs, Count::kMacs);
  CompressionPlan plan = make_plan(budget, attached.pairs, random_scores(attached, 2), 0.6);
  plan.edits[1].rows += 1;
  CHECK_THROWS_AS(apply(plan, attached.pairs, attached.network), Error);
  plan.edits.pop_back();
  CHECK_THROWS_AS(mask(plan, attached.pairs, attached.network), Error);
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
