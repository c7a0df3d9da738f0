#include "compress/constants.h"

#include "compress/surgery.h"
#include "engine/core/error.h"
#include "engine/graph/builder.h"
#include "kernels/philox.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/random_graph.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

// Zeroes the filters of every convolution and linear layer that makes a removed unit, or the weights of all that read it.
void silence(Network& network, const UnitMembers& members, bool makers) {
  for (const auto& slot : makers ? members.makers : members.readers) {
    Tensor& w = network.parameter(network.graph().at(slot.node).weights_name() + ".weight").value;
    const std::int64_t filter = w.size() / w.dim(0), in = w.dim(w.shape().rank() - 1);
    for (std::int64_t i = 0; i < w.size(); ++i) {
      if (makers ? i / filter == slot.channel : i % in == slot.channel) w.mutable_data()[i] = 0.0f;
    }
  }
}

Proof difference(Network& a, Network& b, std::uint64_t seed) {
  Proof proof;
  extend_proof(proof, a, b, testing::random_tensor({3, a.graph().input.h, a.graph().input.w, 3}, seed, -2.0f, 2.0f), Stream());
  return proof;
}

}  // namespace

TEST_CASE("a zeroed filter behind BatchNorm and ReLU leaves a constant that a padded reader needs a carrier for") {
  GraphBuilder g("net", {6, 6, 3});
  auto x = g.relu("relu", g.batch_norm("bn", g.conv("a", g.input(), 8)));
  x = g.batch_norm("bn2", g.conv("b", x, 4));
  x = g.global_average_pool("pool", g.relu("relu2", x));
  const Graph graph = std::move(g).finish(g.linear("fc", g.flatten("f", x), 3));
  Network network = testing::random_network(graph, 3);
  const ChannelUnits units = derive_units(graph);
  const auto members = members_of(graph, units);
  std::vector<bool> removed(static_cast<std::size_t>(units.count()), false);
  for (int c : {1, 2, 5, 6}) {
    const int unit = units.of(graph.find("a"))[static_cast<std::size_t>(c)];
    removed[static_cast<std::size_t>(unit)] = true;
    network.parameter("bn.bias").value.mutable_data()[c] = 0.2f * static_cast<float>(c);  // so that ReLU lets it pass
    network.buffer("bn.running_mean").value.mutable_data()[c] = 0.0f;
    silence(network, members[static_cast<std::size_t>(unit)], true);
  }
  const auto stranded = stranded_constants(network, units, removed);
  CHECK(stranded.size() == 4);
  const std::vector<int> carriers = choose_carriers(stranded);
  REQUIRE(carriers.size() == 1);
  CHECK(carriers[0] == units.of(graph.find("a"))[6]);  // the largest constant: ratios stay at most 1

  Network folded = network.clone();
  fold_constants(folded, units, removed, carriers);
  CHECK((difference(network, folded, 1).relative() <= kProofBound));
  removed[static_cast<std::size_t>(carriers[0])] = false;
  Network smaller = without_units(folded, units, removed);
  CHECK(std::get<ConvAttributes>(smaller.graph().at(smaller.graph().find("a")).attributes).out == 5);
  CHECK((difference(network, smaller, 2).relative() <= kProofBound));

  // Dropping the constants instead would have changed the function.
  removed[static_cast<std::size_t>(carriers[0])] = true;
  Network dropped = without_units(network, units, removed);
  CHECK(difference(network, dropped, 2).relative() > kProofBound);
}

TEST_CASE("a removed channel that varies is refused by name") {
  GraphBuilder g("net", {6, 6, 3});
  const auto a = g.conv("a", g.input(), 4);
  const Graph graph = std::move(g).finish(g.conv("b", a, 2));
  Network network = testing::random_network(graph, 1);
  const ChannelUnits units = derive_units(graph);
  std::vector<bool> removed(static_cast<std::size_t>(units.count()), false);
  removed[static_cast<std::size_t>(units.of(graph.find("a"))[3])] = true;
  CHECK_THROWS_WITH(stranded_constants(network, units, removed), testing::contains("channel 3 of a varies"));
}

TEST_CASE("removing zeroed units changes nothing on 400 random graphs") {
  int cut = 0, with_carriers = 0, refused = 0, shared = 0, heads = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    INFO("seed " << seed);
    const Graph graph = testing::random_graph(seed);
    Network network = testing::random_network(graph, seed);
    const ChannelUnits units = derive_units(graph);
    const auto members = members_of(graph, units);
    std::vector<bool> removed(static_cast<std::size_t>(units.count()), false);
    for (int unit = 0; unit < units.count(); ++unit) {
      const auto word = random_words(seed, RandomUse::kTest, 13, static_cast<std::uint64_t>(unit));
      if (!units.removable(unit) || uniform(word.word[0]) > 0.4f) continue;
      removed[static_cast<std::size_t>(unit)] = true;
      silence(network, members[static_cast<std::size_t>(unit)], word.word[1] % 2 == 0);
    }
    for (const auto& labels : units.unit_of) {  // something of every node stays
      if (std::ranges::all_of(labels, [&](int u) { return removed[static_cast<std::size_t>(u)]; })) {
        for (int u : labels) removed[static_cast<std::size_t>(u)] = false;
      }
    }
    shared += std::ranges::any_of(graph.nodes, [](const GraphNode& n) { return !n.weights_of.empty(); });
    heads += graph.more_outputs.empty() ? 0 : 1;
    std::vector<int> carriers;
    try {
      carriers = choose_carriers(stranded_constants(network, units, removed));
    } catch (const Error&) {
      ++refused;  // a constant through a padded grouped convolution or average is none behind it
      continue;
    }
    Network folded = network.clone();
    fold_constants(folded, units, removed, carriers);
    for (int unit : carriers) removed[static_cast<std::size_t>(unit)] = false;
    Network smaller = without_units(folded, units, removed);
    CHECK((difference(network, smaller, seed).relative() <= kProofBound));
    cut += smaller.graph() == graph ? 0 : 1;
    with_carriers += carriers.empty() ? 0 : 1;
  }
  // The property says little if the cases don't occur.
  INFO(cut << " cut, " << with_carriers << " with carriers, " << refused << " refused, " << shared << " shared, " << heads << " heads");
  CHECK(cut >= 200);
  CHECK(with_carriers >= 50);
  CHECK(refused <= 150);
  CHECK(shared >= 20);
  CHECK(heads >= 20);
}
