// The paper's families (Li et al., CVPR 2020, sections 3 and 4): what the derivation must give for them without knowing
// their names, and that surgery keeps their functions.
#include <set>

#include "compress/surgery.h"
#include "models/registry.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/random_graph.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

Structure structure_of(const char* model, Mode mode) {
  return make_structure(models::build(model, {}), {.mode = mode, .exclude = {}, .residual = false});
}

// "layer1.0.conv1:out layer1.0.conv3:in", "A" for the 1x1 half of a pair.
std::string slices_of(const GroupSet& set, const Structure& structure) {
  std::string text;
  for (const Slice& slice : set.slices) {
    std::string name = structure.attached.at(slice.node).name;
    for (const FactorPair& pair : structure.pairs) {
      if (pair.pointwise == name) name = "A of " + pair.layer;
    }
    text += (text.empty() ? "" : " + ") + name + (slice.side == Slice::Side::kOut ? ":out" : ":in");
  }
  return text;
}

struct Expected {
  std::string layer, slices;
  bool operator==(const Expected&) const = default;
};
std::vector<Expected> found(const Structure& structure) {
  std::vector<Expected> result;
  for (const GroupSet& set : structure.sets) result.push_back({set.layer, slices_of(set, structure)});
  return result;
}

template <class Emit>
void each_block(int stages, int blocks, Emit&& emit) {
  for (int stage = 1; stage <= stages; ++stage) {
    for (int block = 0; block < blocks; ++block) emit("layer" + std::to_string(stage) + "." + std::to_string(block) + ".");
  }
}

bool equal(const std::vector<Expected>& a, const std::vector<Expected>& b) {
  if (a == b) return true;
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    if (i < a.size() && i < b.size() && a[i] == b[i]) continue;
    UNSCOPED_INFO("entry " << i << ": found " << (i < a.size() ? a[i].layer + " | " + a[i].slices : "nothing") << ", expected "
                           << (i < b.size() ? b[i].layer + " | " + b[i].slices : "nothing"));
    break;
  }
  return false;
}

}  // namespace

TEST_CASE("basic blocks: rows of A1 and A2; the variant prunes inside the block and decomposes its last convolution") {
  std::vector<Expected> rows, variant;
  each_block(3, 3, [&](const std::string& block) {
    for (const char* conv : {"conv1", "conv2"}) rows.push_back({block + conv, "A of " + block + conv + ":in"});
    variant.push_back({block + "conv1", "A of " + block + "conv1:out"});
    variant.push_back({block + "conv2", "A of " + block + "conv2:in"});
  });
  CHECK(equal(found(structure_of("resnet20", Mode::kAuto)), rows));
  CHECK(equal(found(structure_of("resnet20", Mode::kDecompose)), rows));
  CHECK(equal(found(structure_of("resnet20", Mode::kMixed)), variant));
}

TEST_CASE("bottlenecks need no A: columns of conv1 and rows of conv3") {
  std::vector<Expected> expected;
  each_block(3, 18, [&](const std::string& block) {
    expected.push_back({block + "conv1", block + "conv1:out"});
    expected.push_back({block + "conv2", block + "conv3:in"});
  });
  const Structure structure = structure_of("resnet164", Mode::kAuto);
  CHECK(structure.pairs.empty());
  CHECK(equal(found(structure), expected));
}

TEST_CASE("ResNeXt: conv1's rows and conv3's columns of a cardinality group are one group") {
  for (const char* model : {"resnext20", "resnext164"}) {
    std::vector<Expected> expected;
    each_block(3, std::string(model) == "resnext20" ? 2 : 18, [&](const std::string& block) {
      expected.push_back({block + "conv1", block + "conv1:out + " + block + "conv3:in"});
    });
    const Structure structure = structure_of(model, Mode::kAuto);
    CHECK(structure.pairs.empty());
    CHECK(equal(found(structure), expected));
    for (const GroupSet& set : structure.sets) CHECK(set.size() == 32);
  }
}

TEST_CASE("VGG: rows and columns of the same A for every convolution but the first") {
  const Structure structure = structure_of("vgg16", Mode::kBoth);
  std::vector<std::string> convs;
  for (const GraphNode& node : structure.dense.nodes) {
    if (node.kind == OpKind::kConv2d) convs.push_back(node.name);
  }
  REQUIRE(convs.size() == 13);
  std::vector<Expected> expected;
  for (std::size_t i = 1; i < convs.size(); ++i) {
    expected.push_back({convs[i], "A of " + convs[i] + ":in"});
    expected.push_back({convs[i], "A of " + convs[i] + ":out"});
  }
  CHECK(equal(found(structure), expected));
}

TEST_CASE("DenseNet: rows of the dense layers' and transitions' A; the variant prunes growth channels") {
  const Structure rows = structure_of("densenet40", Mode::kAuto);
  CHECK(rows.pairs.size() == 38);
  CHECK(rows.sets.size() == 38);
  for (const GroupSet& set : rows.sets) CHECK(slices_of(set, rows) == "A of " + set.layer + ":in");
  const Structure channels = structure_of("densenet40", Mode::kPrune);
  CHECK(channels.sets.size() == 38);
  for (const GroupSet& set : channels.sets) {
    const auto& conv = std::get<ConvAttributes>(channels.dense.at(channels.dense.find(set.layer)).attributes);
    CHECK(slices_of(set, channels) == (conv.kernel_h > 1 ? "A of " + set.layer + ":out" : set.layer + ":out"));
  }
}

TEST_CASE("Wide ResNet: columns of A1 and rows of A2") {
  const Structure structure = structure_of("wrn-16-10", Mode::kMixed);
  CHECK(structure.sets.size() == 12);
  for (std::size_t i = 0; i < structure.sets.size(); ++i) {
    const GroupSet& set = structure.sets[i];
    CHECK(set.layer.ends_with(i % 2 == 0 ? "conv1" : "conv2"));
    CHECK(slices_of(set, structure) == "A of " + set.layer + (i % 2 == 0 ? ":out" : ":in"));
  }
}

TEST_CASE("inverted residuals: a channel goes with its expansion, its depthwise filter and its projection") {
  const Structure structure = structure_of("mobilenet_v2", Mode::kAuto);
  int joint = 0;
  for (const GroupSet& set : structure.sets) joint += set.slices.size() == 2 ? 1 : 0;
  // 16 blocks with an expansion; and between 1x1 convolutions without an addition: features.1 and features.17.
  CHECK(joint == 18);
  CHECK(structure.pairs.empty());
}

TEST_CASE("every family keeps its function through surgery in every mode, and costs what the plan predicted") {
  struct Family {
    const char* model;
    FeatureShape input;
  };
  int cases = 0;
  for (const Family& family : {Family{"resnet20", {32, 32, 3}}, {"resnet164", {32, 32, 3}}, {"resnext20", {32, 32, 3}}, {"densenet40", {32, 32, 3}}, {"vgg16", {32, 32, 3}}, {"mobilenet_v2", {64, 64, 3}}, {"resnet18", {64, 64, 3}}}) {
    const Graph graph = models::build(family.model, {.input = family.input});
    const Network dense = testing::random_network(graph, 3);
    for (Mode mode : {Mode::kAuto, Mode::kPrune, Mode::kBoth}) {
      INFO(family.model << " " << name_of(mode));
      const GroupOptions options{.mode = mode, .exclude = {}, .residual = false};
      std::vector<std::int64_t> ranks;
      for (const std::string& layer : choose_groups(graph, options).attach) {
        ranks.push_back(std::get<ConvAttributes>(graph.at(graph.find(layer)).attributes).out);
      }
      const Structure structure = make_structure(graph, options, ranks);
      const Budget budget(structure);
      Network attached = attach(dense, structure.choice.attach, Initialisation::kIdentity).network;
      Scores scores;
      for (const GroupSet& set : structure.sets) {
        const Tensor random = testing::random_tensor({static_cast<std::int64_t>(set.size())}, 40 + scores.size(), 0.0f, 1.0f);
        scores.emplace_back(random.values().begin(), random.values().end());
      }
      const Target target{.count = Count::kMacs, .flops = 0.6, .parameters = {}, .bytes = {}};
      if (!target.met_by(least_size(budget, {}), budget.dense())) continue;
      const CompressionPlan plan = make_plan(structure, budget, attached, scores, target);
      CHECK(target.met_by(plan.predicted_after, plan.before));
      Network shrunken = apply(plan, structure, attached);
      CHECK(size_of(shrunken.graph()) == plan.predicted_after);
      mask(plan, structure, attached);
      Proof proof;
      extend_proof(proof, attached, shrunken, testing::random_tensor({2, family.input.h, family.input.w, 3}, 9, -2.0f, 2.0f), Stream());
      INFO("relative difference " << proof.relative());
      CHECK(proof.relative() <= kProofBound);
      ++cases;
    }
  }
  CHECK(cases >= 17);
}
