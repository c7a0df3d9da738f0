#include "engine/graph/cost.h"

#include "engine/graph/builder.h"
#include "models/registry.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;

TEST_CASE("costs are counted by hand for every kind of layer") {
  GraphBuilder g("counted", {8, 8, 3});
  int x = g.conv("conv", 0, 16, {.bias = true});
  x = g.batch_norm("norm", x);
  x = g.relu("relu", x);
  x = g.relu("functional", x, true);
  x = g.relu("capped", x, {.ceiling = 6.0f});
  x = g.conv("grouped", x, 32, {.kernel = 3, .stride = 2, .groups = 4});
  x = g.max_pool("pool", x, {});
  x = g.flatten("flat", x);
  const Graph graph = std::move(g).finish(g.linear("linear", x, 10));
  const auto layers = layer_costs(graph);
  const auto expect = [&](const char* name, const Cost& want) {
    INFO(name);
    const LayerCost& layer = layers[static_cast<std::size_t>(graph.find(name))];
    CHECK(layer.name == name);
    CHECK(layer.cost.parameters == want.parameters);
    CHECK(layer.cost.macs == want.macs);
    CHECK(layer.cost.operations == want.operations);
  };
  expect("conv", {27 * 16 + 16, 27 * 16 * 64, 27 * 16 * 64});
  expect("norm", {32, 0, 2 * 16 * 64});
  expect("relu", {0, 0, 16 * 64});
  expect("functional", {0, 0, 0});
  expect("capped", {0, 0, 16 * 64});
  expect("grouped", {9 * 4 * 32, 9 * 4 * 32 * 16, 9 * 4 * 32 * 16});
  expect("pool", {0, 0, 0});
  expect("flat", {0, 0, 0});
  expect("linear", {128 * 10 + 10, 1280, 1280});
  Cost sum;
  for (const LayerCost& layer : layers) sum += layer.cost;
  CHECK(sum == cost_of(graph));
  CHECK(flops_of(sum, Count::kMacs) == sum.macs);
  CHECK(flops_of(sum, Count::kReference) == sum.operations);
}

TEST_CASE("the CIFAR ResNets cost exactly what the paper's program counts") {
  struct Row {
    const char* name;
    const char* shortcut;
    std::int64_t parameters, operations;
  };
  // A-stride differs from A-pool by the stem's bias of 16, which no operation is counted for. C
  // adds two 1x1 convolutions with BatchNorm: 16*32 + 64 + 32*64 + 128 = 2,752 parameters and
  // 16*32*256 + 2*32*256 + 32*64*64 + 2*64*64 = 286,720 operations, at every depth.
  const std::vector<Row> rows = {
      {"resnet20", "", 269'738, 41'116'288},
      {"resnet56", "", 853'034, 127'083'136},
      {"resnet20", "A-pool", 269'738, 41'116'288},
      {"resnet56", "A-pool", 853'034, 127'083'136},
      {"resnet20", "A-stride", 269'722, 41'116'288},
      {"resnet56", "A-stride", 853'018, 127'083'136},
      {"resnet20", "C", 272'490, 41'403'008},
      {"resnet56", "C", 855'786, 127'369'856},
  };
  for (const Row& row : rows) {
    INFO(row.name << " " << row.shortcut);
    const Cost cost = cost_of(models::build(row.name, {.shortcut = row.shortcut}));
    CHECK(cost.parameters == row.parameters);
    CHECK(cost.operations == row.operations);
  }
}
