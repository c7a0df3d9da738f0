// Networks by name.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace hinge::models {

struct ModelOptions {
  std::int64_t classes = 10;
  FeatureShape input{32, 32, 3};
  std::string shortcut;  // "A-pool", "A-stride" or "C" where the family has a choice; "" is its default
};

using Builder = std::function<Graph(const ModelOptions&)>;

std::map<std::string, Builder>& registry();
bool register_model(const std::string& name, Builder builder);
// Throws UsageError with the nearest known name.
Graph build(const std::string& name, const ModelOptions& options);
std::vector<std::string> names();

}  // namespace hinge::models
