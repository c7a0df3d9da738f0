#include "compress/channels.h"

#include <chrono>

#include "engine/core/error.h"
#include "engine/graph/builder.h"
#include "models/registry.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

int unit(const Graph& graph, const ChannelUnits& units, const char* node, int channel) {
  return units.of(graph.find(node))[static_cast<std::size_t>(channel)];
}

}  // namespace

TEST_CASE("an addition binds channel c of both sides, a concatenation passes channels on at an offset") {
  GraphBuilder g("net", {8, 8, 3});
  const auto a = g.conv("a", g.input(), 4), b = g.conv("b", a, 4), sum = g.add("sum", a, b);
  const auto both = g.concat("both", {sum, g.conv("c", sum, 2)});
  const auto last = g.conv("last", both, 5);
  const Graph graph = std::move(g).finish(last);
  const ChannelUnits units = derive_units(graph);
  for (int c = 0; c < 4; ++c) {
    CHECK(unit(graph, units, "a", c) == unit(graph, units, "b", c));
    CHECK(unit(graph, units, "sum", c) == unit(graph, units, "a", c));
    CHECK(unit(graph, units, "both", c) == unit(graph, units, "a", c));
    CHECK(units.removable(unit(graph, units, "a", c)));
  }
  for (int c = 0; c < 2; ++c) CHECK(unit(graph, units, "both", 4 + c) == unit(graph, units, "c", c));
  CHECK(unit(graph, units, "a", 0) != unit(graph, units, "a", 1));
  CHECK_FALSE(units.removable(unit(graph, units, "last", 0)));
  CHECK_FALSE(units.removable(unit(graph, units, "input", 0)));
  CHECK(explain_unit(graph, units, unit(graph, units, "a", 2)).find("added to channel 2 of b by sum") != std::string::npos);
  CHECK(explain_unit(graph, units, unit(graph, units, "last", 1)).find("last is an output") != std::string::npos);
}

TEST_CASE("a grouped convolution binds the inputs and outputs of each group, where it is depthwise of each channel") {
  for (int groups : {8, 4, 2}) {
    GraphBuilder g("net", {8, 8, 3});
    const auto a = g.conv("a", g.input(), 8), d = g.conv("d", a, 16, {.groups = groups});
    const Graph graph = std::move(g).finish(g.conv("last", d, 2));
    const ChannelUnits units = derive_units(graph);
    const int in_each = 8 / groups, out_each = 16 / groups;
    for (int k = 0; k < 16; ++k) {
      for (int c = 0; c < 8; ++c) {
        CHECK((unit(graph, units, "d", k) == unit(graph, units, "a", c)) == (k / out_each == c / in_each));
      }
    }
  }
}

TEST_CASE("flatten makes one unit of a channel's pixels, shortcut A of a channel and where it lands") {
  GraphBuilder g("net", {4, 4, 3});
  const auto a = g.conv("a", g.input(), 3), s = g.shortcut_a("s", a, {.before = 2, .after = 1});
  const auto f = g.flatten("f", s);
  const Graph graph = std::move(g).finish(g.linear("fc", f, 2));
  const ChannelUnits units = derive_units(graph);
  for (int c = 0; c < 3; ++c) CHECK(unit(graph, units, "s", 2 + c) == unit(graph, units, "a", c));
  for (int pixel = 0; pixel < 4; ++pixel) {
    for (int c = 0; c < 6; ++c) CHECK(unit(graph, units, "f", c * 4 + pixel) == unit(graph, units, "s", c));
  }
}

TEST_CASE("nodes that share weights have the same units on both sides") {
  GraphBuilder g("net", {8, 8, 3});
  const auto a = g.conv("a", g.input(), 4), b = g.conv("b", a, 4), c = g.conv("c", b, 4);
  Graph graph = std::move(g).finish(g.conv("last", c, 2));
  graph.at(graph.find("c")).weights_of = "b";
  const ChannelUnits units = derive_units(graph);
  for (int k = 0; k < 4; ++k) {
    CHECK(unit(graph, units, "b", k) == unit(graph, units, "c", k));
    CHECK(unit(graph, units, "a", k) == unit(graph, units, "b", k));  // c reads b, b reads a: one space
  }
}

TEST_CASE("every output of a network with several heads is pinned") {
  GraphBuilder g("net", {8, 8, 3});
  const auto a = g.conv("a", g.input(), 4), b = g.conv("b", a, 2);
  Graph graph = std::move(g).finish(b);
  graph.more_outputs = {a};
  const ChannelUnits units = derive_units(graph);
  CHECK_FALSE(units.removable(unit(graph, units, "a", 0)));
  CHECK_FALSE(units.removable(unit(graph, units, "b", 0)));
}

TEST_CASE("channels of a residual stream are one unit through all its blocks") {
  const Graph graph = models::build("resnet20", {.shortcut = "A-stride"});
  const ChannelUnits units = derive_units(graph);
  CHECK(unit(graph, units, "conv1", 5) == unit(graph, units, "layer1.2.conv2", 5));
  // Option A puts 16 channels between zeros, 8 on each side.
  CHECK(unit(graph, units, "conv1", 5) == unit(graph, units, "layer2.0.conv2", 13));
  CHECK(unit(graph, units, "layer2.0.conv2", 0) != unit(graph, units, "conv1", 0));
  CHECK(unit(graph, units, "layer1.0.conv1", 5) != unit(graph, units, "conv1", 5));
}
