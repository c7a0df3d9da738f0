// The graph in a model file's metadata: what is taken has shapes and costs that fit into 64 bits, and survives being written.
#include "engine/graph/graph.h"

#include <nlohmann/json.hpp>

#include "engine/graph/cost.h"
#include "engine/graph/graph_json.h"
#include "engine/io/json.h"
#include "tests/fuzz/target.h"

using namespace hinge;
using namespace hinge::fuzz;

HINGE_FUZZ_TARGET(graph, "graph", kMiB, 64) {
  const Graph graph = graph_from_json(io::parse_json(bytes, "graph"));
  const Cost cost = cost_of(graph);
  promise(cost.parameters >= 0 && cost.macs >= 0 && cost.operations >= cost.macs, "costs are counts");
  promise(graph_from_json(io::parse_json(io::json_text(nlohmann::json(graph_to_json(graph)), "graph"), "graph")) == graph, "a graph survives being written");
}
