#include "engine/nn/fold_batch_norm.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/node.h"
#include "engine/graph/builder.h"
#include "engine/graph/cost.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/random_graph.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

int batch_norms(const Graph& graph) {
  return static_cast<int>(std::ranges::count_if(graph.nodes, [](const GraphNode& node) { return node.kind == OpKind::kBatchNorm; }));
}

// Of any output, relative to the largest one.
double difference(Network& a, Network& b) {
  const NoGradients guard;
  const FeatureShape& in = a.graph().input;
  const Tensor images = random_tensor({3, in.h, in.w, in.c}, 5, -2.0f, 2.0f);
  const std::vector<Tensor> left = a.forward_all(images, {}, {}), right = b.forward_all(images, {}, {});
  REQUIRE(left.size() == right.size());
  double worst = 0.0, largest = 0.0;
  for (std::size_t o = 0; o < left.size(); ++o) {
    REQUIRE(left[o].shape() == right[o].shape());
    for (std::int64_t i = 0; i < left[o].size(); ++i) {
      const double d = std::fabs(static_cast<double>(left[o].data()[i]) - static_cast<double>(right[o].data()[i]));
      if (!(d <= worst)) worst = d;
      largest = std::max(largest, std::fabs(static_cast<double>(left[o].data()[i])));
    }
  }
  return worst / std::max(largest, 1e-30);
}

// A product of up to 4 * 9 * 12 terms through at most 15 layers: rounding stays far below; a wrong scale does not.
constexpr double kTolerance = 2e-5;

}  // namespace

TEST_CASE("random networks compute the same with BatchNorm folded, and with fewer operations") {
  int folded_in_all = 0;
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    INFO("seed " << seed);
    Network network = random_network(random_graph(seed), seed);
    Network folded = fold_batch_norm(network);
    CHECK(difference(network, folded) <= kTolerance);
    const int gone = batch_norms(network.graph()) - batch_norms(folded.graph());
    CHECK(gone >= 0);
    CHECK(folded.graph().size() == network.graph().size() - gone);
    CHECK(cost_of(folded.graph()).macs == cost_of(network.graph()).macs);
    folded_in_all += gone;
    // What is folded is folded at once.
    CHECK(fold_batch_norm(folded).graph() == folded.graph());
  }
  CHECK(folded_in_all >= 150);
}

TEST_CASE("a BatchNorm is folded only where nobody else needs what lies in front of it") {
  const auto build = [](auto write) {
    GraphBuilder g("net", {4, 4, 3});
    const int output = write(g);
    return random_network(std::move(g).finish(output), 1);
  };
  const auto norms_left = [](Network network) {
    Network folded = fold_batch_norm(network);
    CHECK(difference(network, folded) <= kTolerance);
    return batch_norms(folded.graph());
  };
  CHECK(norms_left(build([](GraphBuilder& g) { return g.batch_norm("bn", g.conv("conv", g.input(), 8)); })) == 0);
  CHECK(norms_left(build([](GraphBuilder& g) { return g.batch_norm("bn", g.linear("fc", g.flatten("flat", g.input()), 8)); })) == 0);
  CHECK(norms_left(build([](GraphBuilder& g) { return g.conv("conv", g.batch_norm("bn", g.input()), 8); })) == 1);
  // The convolution is read by an addition too.
  CHECK(norms_left(build([](GraphBuilder& g) {
          const int conv = g.conv("conv", g.input(), 8);
          return g.add("add", g.batch_norm("bn", conv), conv);
        })) == 1);
  // Two BatchNorms in a row: the second has no layer in front of it.
  CHECK(norms_left(build([](GraphBuilder& g) { return g.batch_norm("bn2", g.batch_norm("bn1", g.conv("conv", g.input(), 8))); })) == 1);
  // Shared weights would get two different scales.
  Network shared = build([](GraphBuilder& g) {
    const int a = g.batch_norm("bn1", g.conv("conv1", g.input(), 3));
    return g.batch_norm("bn2", g.conv("conv2", a, 3));
  });
  Graph graph = shared.graph();
  graph.at(graph.find("conv2")).weights_of = "conv1";
  CHECK(norms_left(random_network(graph, 2)) == 2);
  // The convolution's value leaves the network.
  graph = shared.graph();
  graph.more_outputs = {graph.find("conv2")};
  CHECK(norms_left(random_network(graph, 2)) == 1);
}
