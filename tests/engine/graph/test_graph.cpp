#include "engine/graph/graph.h"

#include <functional>
#include <limits>

#include "engine/graph/builder.h"
#include "engine/graph/cost.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// Builds with `build` and gives the error's message.
template <class Build>
std::string refusal(const FeatureShape& input, const Build& build) {
  GraphBuilder g("test", input);
  try {
    build(g);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("shapes follow from the input through every operation") {
  GraphBuilder g("all", {9, 9, 3});
  const auto expect = [&](int node, const FeatureShape& want) {
    INFO(node);
    CHECK(g.shape(node).h == want.h);
    CHECK(g.shape(node).w == want.w);
    CHECK(g.shape(node).c == want.c);
    return node;
  };
  const int conv = expect(g.conv("conv", g.input(), 8), {9, 9, 8});
  const int strided = expect(g.conv("strided", conv, 16, {.stride = 2}), {5, 5, 16});
  expect(g.conv("valid", conv, 4, {.kernel = 5, .padding = 0}), {5, 5, 4});
  const int norm = expect(g.batch_norm("norm", strided), {5, 5, 16});
  const int relu = expect(g.relu("relu", norm), {5, 5, 16});
  const int added = expect(g.add("add", relu, strided), {5, 5, 16});
  expect(g.shortcut_a("stride form", conv, {.before = 4, .after = 4}), {5, 5, 16});
  expect(g.shortcut_a("pool form", conv, {.before = 4, .after = 4, .pool = true}), {4, 4, 16});
  const int joined = expect(g.concat("concat", {added, relu, relu}), {5, 5, 48});
  expect(g.max_pool("max", joined, {.window = 3, .stride = 2, .padding = 1}), {3, 3, 48});
  expect(g.average_pool("average", joined, {}), {2, 2, 48});
  const int dropped = expect(g.dropout("drop", joined, 0.5f), {5, 5, 48});
  expect(g.global_average_pool("global", dropped), {1, 1, 48});
  const int flat = expect(g.flatten("flat", dropped), {1, 1, 1200});
  const int linear = expect(g.linear("linear", flat, 10), {1, 1, 10});
  const Graph graph = std::move(g).finish(linear);
  CHECK(graph.find("add") == added);
  CHECK_THROWS_WITH(graph.find("nowhere"), contains("nowhere"));
  const auto consumers = consumers_of(graph);
  CHECK(consumers[static_cast<std::size_t>(relu)] == std::vector<int>{added, joined, joined});
  CHECK(consumers[static_cast<std::size_t>(linear)].empty());
}

TEST_CASE("a layer that does not fit is refused where it is written, by name, with both sides") {
  const FeatureShape input{8, 8, 6};
  CHECK_THAT(refusal(input, [](auto& g) { g.conv("c", 0, 8, {.groups = 4}); }),
             contains("'c'") && contains("6 to 8 channels in 4 groups"));
  CHECK_THAT(refusal(input, [](auto& g) { g.conv("c", 0, 8, {.kernel = 11, .padding = 1}); }),
             contains("'c'") && contains("11x11") && contains("10x10"));
  CHECK_THAT(refusal(input, [](auto& g) { g.conv("c", 0, 0); }), contains("out is 0"));
  CHECK_THAT(refusal(input, [](auto& g) { g.conv("c", 0, 8, {.stride = 0}); }),
             contains("stride is 0"));
  CHECK_THAT(refusal(input, [](auto& g) { g.add("a", 0, g.conv("c", 0, 7)); }),
             contains("'a'") && contains("8x8x6") && contains("8x8x7"));
  CHECK_THAT(refusal(input,
                     [](auto& g) {
                       g.concat("k", {0, g.conv("c", 0, 7, {.stride = 2})});
                     }),
             contains("'k'") && contains("8x8") && contains("4x4"));
  CHECK_THAT(refusal(input, [](auto& g) { g.concat("k", {}); }), contains("no inputs"));
  CHECK_THAT(refusal(input, [](auto& g) { g.max_pool("p", 0, {.window = 2, .padding = 2}); }),
             contains("padding 2"));
  CHECK_THAT(refusal(input, [](auto& g) { g.shortcut_a("s", 0, {.before = -1}); }),
             contains("before is -1"));
  CHECK_THAT(refusal({8, 1, 6}, [](auto& g) { g.shortcut_a("s", 0, {.pool = true}); }),
             contains("halved"));
  CHECK_THAT(refusal({8, 4, 6}, [](auto& g) { g.global_average_pool("p", 0); }),
             contains("8x4") && contains("square"));
  CHECK_THAT(refusal(input, [](auto& g) { g.relu("r", 0), g.relu("r", 0); }),
             contains("'r'") && contains("twice"));
  CHECK_THAT(refusal(input, [](auto& g) { g.relu("input", 0); }), contains("twice"));
  CHECK_THAT(refusal(input, [](auto& g) { g.relu("", 0); }), contains("empty"));
  CHECK_THAT(refusal(input, [](auto& g) { g.relu("r", 1); }), contains("reads node 1"));
  CHECK_THAT(refusal(input, [](auto& g) { g.linear("l", 0, 10); }), contains("8x8x6"));
}

TEST_CASE("a graph changed by hand into nonsense is refused") {
  GraphBuilder g("small", {8, 8, 6});
  const Graph good = std::move(g).finish(g.batch_norm("norm", g.conv("conv", 0, 4)));
  const auto refused = [&](const std::function<void(Graph&)>& change) {
    Graph graph = good;
    change(graph);
    CHECK_THROWS_AS(infer_shapes(graph), Error);
  };
  CHECK_NOTHROW(infer_shapes(good));
  refused([](Graph& x) { x.nodes.clear(); });
  refused([](Graph& x) { x.nodes.erase(x.nodes.begin()); });
  refused([](Graph& x) { x.output = 3; });
  refused([](Graph& x) { x.output = -1; });
  refused([](Graph& x) { x.input.c = 5; });
  refused([](Graph& x) { x.input.h = 0; });
  refused([](Graph& x) { x.at(1).inputs = {1}; });  // itself
  refused([](Graph& x) { x.at(1).inputs = {2}; });  // a later one
  refused([](Graph& x) { x.at(1).inputs = {-1}; });
  refused([](Graph& x) { x.at(1).inputs = {0, 0}; });
  refused([](Graph& x) { x.at(1).inputs = {}; });
  refused([](Graph& x) { x.at(1).attributes = ReluAttributes{}; });
  refused([](Graph& x) { x.at(1).attributes = {}; });
  refused([](Graph& x) { x.at(2) = {OpKind::kRelu, "relu", {1}, ReluAttributes{.ceiling = -6.0f}}; });
  refused([](Graph& x) {
    x.at(2) = {OpKind::kRelu, "relu", {1}, ReluAttributes{.ceiling = std::numeric_limits<float>::quiet_NaN()}};
  });
  refused([](Graph& x) { x.at(1).kind = OpKind::kInput; });
  refused([](Graph& x) { std::get<ConvAttributes>(x.at(1).attributes).out = 5; });
  refused([](Graph& x) { std::get<BatchNormAttributes>(x.at(2).attributes).epsilon = 0.0f; });
  refused([](Graph& x) { std::get<BatchNormAttributes>(x.at(2).attributes).momentum = 1.5f; });
}

TEST_CASE("after a layer that was refused the builder goes on as if it had not been tried") {
  GraphBuilder g("test", {8, 8, 6});
  const int conv = g.conv("conv", 0, 4);
  CHECK_THROWS_AS(g.batch_norm("conv", conv), Error);
  CHECK_THROWS_AS(g.max_pool("pool", conv, {.window = 9}), Error);
  CHECK(g.shape(g.max_pool("pool", conv, {})) == FeatureShape{4, 4, 4});
}

TEST_CASE("building takes time in proportion to the nodes: 20,000 of them are no wait") {
  GraphBuilder g("long", {1, 1, 1});
  int x = 0;
  for (int i = 0; i < 20'000; ++i) x = g.relu("relu" + std::to_string(i), x);
  // Inferring all shapes at each node would visit 2e8 of them, some ten seconds.
  CHECK(std::move(g).finish(x).size() == 20'001);
}

TEST_CASE("extents whose products leave 64 bits are refused, not wrapped around") {
  const std::int64_t huge = 1 << 24;
  CHECK_THAT(refusal({huge, huge, huge}, [](auto& g) { g.flatten("f", 0); }), contains("elements"));
  CHECK_THAT(refusal({huge + 1, 1, 1}, [](auto& g) { g.flatten("f", 0); }), contains("16777217"));
  CHECK_THAT(refusal({1, 1, huge}, [&](auto& g) { g.conv("c", 0, huge, {.kernel = 1}); }),
             contains("weights"));
  CHECK_THAT(refusal({1, 1, huge}, [&](auto& g) { g.linear("l", 0, huge); }), contains("weights"));
  CHECK_THAT(refusal({4096, 4096, 1}, [&](auto& g) { g.conv("c", 0, 1000); }),
             contains("elements"));
  CHECK_THAT(
      refusal({1, 1, 1}, [&](auto& g) { g.conv("c", 0, 1, {.kernel = 1, .padding = 1 << 23}); }),
      contains("elements"));
}

TEST_CASE("every operation has a name of its own that leads back to it") {
  for (int kind = 0; kind < kOpKinds; ++kind) {
    CHECK(op_kind_of(name_of(static_cast<OpKind>(kind))) == static_cast<OpKind>(kind));
  }
  CHECK_THROWS_WITH(op_kind_of("softmax"), contains("'softmax'") && contains("conv2d"));
}
