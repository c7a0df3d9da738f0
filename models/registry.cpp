#include "models/registry.h"

#include "engine/core/names.h"

namespace hinge::models {

std::map<std::string, Builder>& registry() {
  static std::map<std::string, Builder> instance;
  return instance;
}

bool register_model(const std::string& name, Builder builder) {
  return registry().emplace(name, std::move(builder)).second;
}

std::vector<std::string> names() {
  std::vector<std::string> result;
  for (const auto& [name, builder] : registry()) result.push_back(name);
  return result;
}

Graph build(const std::string& name, const ModelOptions& options) {
  const auto found = registry().find(name);
  if (found == registry().end()) {
    fail_usage("unknown model '{}' (known: {}){}", name, fmt::join(names(), ", "), did_you_mean(name, names()));
  }
  if (options.classes < 2 || options.classes > 1'000'000) {
    fail_usage("model {}: {} classes, expected 2 or more", name, options.classes);
  }
  return found->second(options);
}

}  // namespace hinge::models
