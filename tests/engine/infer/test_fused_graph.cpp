#include "engine/infer/fused_graph.h"

#include <set>

#include "engine/graph/builder.h"
#include "tests/support/catch.h"
#include "tests/support/random_graph.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// What the steps of `graph` are, as "conv+tail+add+relu" and so on.
std::vector<std::string> described(const Graph& graph) {
  std::vector<std::string> result;
  for (const FusedStep& step : fuse(graph).steps) {
    std::string text(name_of(graph.at(step.operation).kind));
    if (step.inner.on) text += " inner-relu";
    if (step.tail >= 0) text += " tail";
    if (step.residual >= 0) text += " residual";
    if (step.outer.on) text += " relu";
    result.push_back(text);
  }
  return result;
}

template <class Write>
Graph build(Write write) {
  GraphBuilder g("net", {8, 8, 4});
  const int output = write(g);
  return std::move(g).finish(output);
}

using Steps = std::vector<std::string>;

}  // namespace

TEST_CASE("a low-rank pair with its residual and ReLU is one step") {
  CHECK(described(build([](GraphBuilder& g) {
          const int pair = g.conv("b", g.conv("a", g.input(), 2), 4, {.kernel = 1});
          return g.relu("r", g.add("s", pair, g.input()));
        })) == Steps{"conv2d tail residual relu"});
}

TEST_CASE("a residual that is made after the convolution is added by the step that makes it") {
  const Graph graph = build([](GraphBuilder& g) {
    const int main = g.conv("main", g.input(), 4);
    const int shortcut = g.conv("shortcut", g.input(), 4, {.kernel = 1});
    return g.relu("r", g.add("s", main, shortcut));
  });
  CHECK(described(graph) == Steps{"conv2d", "conv2d residual relu"});
  const FusedGraph fused = fuse(graph);
  CHECK(fused.steps[1].residual == graph.find("main"));
}

TEST_CASE("nothing that somebody else reads disappears into a step") {
  CHECK(described(build([](GraphBuilder& g) {  // the thin convolution is read twice
          const int thin = g.conv("a", g.input(), 4);
          return g.add("s", g.conv("b", thin, 4, {.kernel = 1}), thin);
        })) == Steps{"conv2d", "conv2d residual"});
  CHECK(described(build([](GraphBuilder& g) {  // x + x
          const int x = g.conv("a", g.input(), 4);
          return g.add("s", x, x);
        })) == Steps{"conv2d", "add"});
  Graph heads = build([](GraphBuilder& g) {  // the convolution is an output itself
    const int conv = g.conv("a", g.input(), 4);
    return g.relu("r", conv);
  });
  heads.more_outputs = {heads.find("a")};
  CHECK(described(heads) == Steps{"conv2d", "relu relu"});
}

TEST_CASE("only a plain 1x1 convolution is a tail") {
  for (const ConvOptions& options : {ConvOptions{.kernel = 3}, ConvOptions{.kernel = 1, .stride = 2}, ConvOptions{.kernel = 1, .groups = 2}, ConvOptions{.kernel = 1, .padding = 1}}) {
    CHECK(described(build([&](GraphBuilder& g) { return g.conv("b", g.conv("a", g.input(), 2), 4, options); })) == Steps{"conv2d", "conv2d"});
  }
}

TEST_CASE("dropout and a flatten of single pixels are no steps") {
  const Graph graph = build([](GraphBuilder& g) {
    return g.linear("fc", g.dropout("d", g.flatten("f", g.global_average_pool("p", g.input())), 0.5f), 3);
  });
  CHECK(described(graph) == Steps{"global_average_pool", "linear"});
  CHECK(fuse(graph).steps[1].inputs == std::vector<int>{graph.find("p")});
}

TEST_CASE("in random graphs every value is made once, before it is read, and every operation is done once") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    INFO("seed " << seed);
    const Graph graph = random_graph(seed);
    const FusedGraph fused = fuse(graph);
    std::set<int> made = {0};
    int operations = 0;
    for (const FusedStep& step : fused.steps) {
      for (int input : step.inputs) CHECK(made.contains(input));
      if (step.residual >= 0) CHECK(made.contains(step.residual));
      CHECK(made.insert(step.value).second);
      const bool relu_itself = graph.at(step.operation).kind == OpKind::kRelu;
      operations += 1 + (step.inner.on ? 1 : 0) + (step.tail >= 0 ? 1 : 0) + (step.residual >= 0 ? 1 : 0) + (step.outer.on && !relu_itself ? 1 : 0);
    }
    for (int output : fused.outputs) CHECK(made.contains(output));
    int aliases = 0;
    const auto shapes = infer_shapes(graph);
    for (const GraphNode& node : graph.nodes) {
      if (node.kind == OpKind::kDropout) ++aliases;
      if (node.kind == OpKind::kFlatten && shapes[static_cast<std::size_t>(node.inputs[0])].h * shapes[static_cast<std::size_t>(node.inputs[0])].w == 1) ++aliases;
    }
    CHECK(operations + aliases == graph.size() - 1);
  }
}
