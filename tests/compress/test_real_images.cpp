// The proof on real pictures: for a network of each family and each way to compress it, the masked and the shrunken
// network are the same function on CIFAR-10's test images, before any fine-tuning.
#include <cstdlib>
#include <filesystem>

#include "compress/surgery.h"
#include "data/cifar.h"
#include "data/loader.h"
#include "engine/nn/model_file.h"
#include "models/registry.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/random_graph.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

std::filesystem::path from_environment(const char* variable, const char* otherwise) {
  const char* value = std::getenv(variable);
  return value != nullptr ? value : otherwise;
}

// Trained weights where there are some, random ones elsewhere: the proof asks nothing of them.
Network network_of(const std::string& model) {
  const auto trained = from_environment("HINGE_SHARED", "../shared") / "data/pretrained" / (model + "-cifar10.safetensors");
  if (std::filesystem::exists(trained)) return network_from(read_model_file(trained), models::build(model, {.shortcut = "A-stride"}), trained.string());
  return testing::random_network(models::build(model, {.input = {32, 32, 3}}), 3);
}

// The identity needs no SVD of vgg16's and wrn's wide layers, and has more ranks to remove.
Structure structure_of(const Graph& graph, Mode mode) {
  const GroupOptions options{.mode = mode, .exclude = {}, .residual = false};
  std::vector<std::int64_t> ranks;
  for (const std::string& layer : choose_groups(graph, options).attach) {
    ranks.push_back(std::get<ConvAttributes>(graph.at(graph.find(layer)).attributes).out);
  }
  return make_structure(graph, options, ranks);
}

Scores random_scores(const Structure& structure) {
  Scores scores;
  for (const GroupSet& set : structure.sets) {
    const Tensor random = testing::random_tensor({static_cast<std::int64_t>(set.size())}, 40 + scores.size(), 0.0f, 1.0f);
    scores.emplace_back(random.values().begin(), random.values().end());
  }
  return scores;
}

}  // namespace

TEST_CASE("on real images every family computes the same masked and shrunken, in every mode") {
  const std::filesystem::path folder = from_environment("HINGE_CIFAR", "build/cifar");
  if (!std::filesystem::exists(folder)) {
    WARN("skipped: no CIFAR at " << folder.string());
    return;
  }
  const data::Dataset set = data::load_cifar10(folder);
  const auto images = [&](int count) {
    std::vector<int> indices;
    for (int i = 0; i < count; ++i) indices.push_back(i);
    data::Loader loader(set.test, set.normalization, indices, {.batch_size = count});
    loader.start(0);
    return loader.next()->images;
  };
  struct Family {
    const char* model;
    int images;
  };
  for (const Family& family : {Family{"resnet20", 16}, {"resnet164", 4}, {"wrn-16-10", 2}, {"resnext20", 4}, {"densenet40", 4}, {"vgg16", 4}, {"mobilenet_v2", 4}}) {
    const Network dense = network_of(family.model);
    const Tensor pictures = images(family.images);
    for (Mode mode : {Mode::kPrune, Mode::kDecompose, Mode::kBoth}) {
      INFO(family.model << " " << name_of(mode));
      const Structure structure = structure_of(dense.graph(), mode);
      REQUIRE_FALSE(structure.sets.empty());
      const Budget budget(structure);
      Network attached = attach(dense, structure.choice.attach, Initialisation::kIdentity).network;
      // Half of what can be removed, where less than 0.6 is out of reach.
      const double least = Target{}.flops_ratio(least_size(budget, {}), budget.dense());
      const Target target{.count = Count::kMacs, .flops = std::max(0.6, 0.5 * (1.0 + least)), .parameters = {}, .bytes = {}};
      const CompressionPlan plan = make_plan(structure, budget, attached, random_scores(structure), target);
      Network shrunken = apply(plan, structure, attached);
      CHECK(size_of(shrunken.graph()) == plan.predicted_after);
      CHECK(plan.predicted_after.cost.macs < plan.before.cost.macs);
      mask(plan, structure, attached);
      Proof proof;
      extend_proof(proof, attached, shrunken, pictures, Stream());
      INFO("relative difference " << proof.relative() << ", largest logit " << proof.largest_logit);
      CHECK((proof.images == family.images && proof.largest_logit > 0.0));
      CHECK((proof.relative() <= kProofBound));
    }
  }
}
