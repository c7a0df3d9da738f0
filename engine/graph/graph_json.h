// A Graph as JSON, the form in which model files carry it.
//
//   {"format": "hinge-graph-1", "architecture": "resnet20", "input": [32, 32, 3], "output": "linear",
//    "nodes": [{"op": "conv2d", "name": "conv1", "inputs": ["input"], "in": 3, "out": 16, "kernel": [3, 3], ...}]}
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "engine/graph/graph.h"

namespace hinge {

nlohmann::ordered_json graph_to_json(const Graph& graph);
// Throws Error on anything that is missing, of the wrong type or inconsistent (infer_shapes is part of it).
Graph graph_from_json(const nlohmann::json& json);

}  // namespace hinge
