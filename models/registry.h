// Networks by name: each family registers what builds it, what it takes, and how files elsewhere spell its layers.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace hinge::models {

// What is asked for; what is left out is the family's own default.
struct ModelOptions {
  std::optional<std::int64_t> classes;
  FeatureShape input{0, 0, 0};   // all 0: the family's own
  std::string shortcut;          // "A-pool", "A-stride" or "C", where the family has a choice
  std::optional<float> dropout;  // rate, where the family has dropout
};

// What a builder gets: everything decided and checked.
struct ModelSettings {
  std::string name;
  std::int64_t classes = 10;
  FeatureShape input;
  std::string shortcut;
  float dropout = 0.0f;
};
using Builder = std::function<Graph(const ModelSettings&)>;

// A layer's name in files of others and here, without ".weight" and so on. A `*` stands for a number: "stage_*.*.conv_a"
// and "layer*.*.conv1".
struct NameRule {
  std::string theirs, ours;
};

struct Model {
  Builder build;
  std::int64_t classes = 10;  // defaults
  FeatureShape input{32, 32, 3};
  std::vector<std::string> shortcuts{};  // the choice, the default first; empty where there is none
  std::optional<float> dropout{};        // the default rate; nothing where there is no dropout
  std::vector<NameRule> names{};
};

const std::map<std::string, Model>& registry();
// False, and nothing changes, if the name is taken.
bool register_model(const std::string& name, Model model);
std::vector<std::string> names();

// Throw UsageError, with the nearest known name, if there is no such model or if it has no such option.
const Model& find(const std::string& name);
Graph build(const std::string& name, const ModelOptions& options);

}  // namespace hinge::models
