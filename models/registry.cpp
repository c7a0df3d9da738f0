#include "models/registry.h"

#include <algorithm>

#include "engine/core/names.h"

namespace hinge::models {
namespace {

std::map<std::string, Model>& table() {
  static std::map<std::string, Model> instance;
  return instance;
}

std::string shortcut_of(const std::string& name, const Model& model, const std::string& wanted) {
  if (wanted.empty()) return model.shortcuts.empty() ? "" : model.shortcuts.front();
  if (model.shortcuts.empty()) fail_usage("model {} has no choice of shortcut, '{}' was asked for", name, wanted);
  if (std::find(model.shortcuts.begin(), model.shortcuts.end(), wanted) == model.shortcuts.end()) {
    fail_usage("unknown shortcut '{}' (known: {}){}", wanted, fmt::join(model.shortcuts, ", "),
               did_you_mean(wanted, model.shortcuts));
  }
  return wanted;
}

float dropout_of(const std::string& name, const Model& model, const std::optional<float>& wanted) {
  if (!wanted) return model.dropout.value_or(0.0f);
  if (!model.dropout) fail_usage("model {} has no dropout, a rate of {} was asked for", name, *wanted);
  if (!(*wanted >= 0.0f && *wanted < 1.0f)) fail_usage("model {}: dropout {} is not in [0, 1)", name, *wanted);
  return *wanted;
}

}  // namespace

const std::map<std::string, Model>& registry() { return table(); }

bool register_model(const std::string& name, Model model) { return table().emplace(name, std::move(model)).second; }

std::vector<std::string> names() {
  std::vector<std::string> result;
  for (const auto& [name, model] : table()) result.push_back(name);
  return result;
}

const Model& find(const std::string& name) {
  const auto found = table().find(name);
  if (found == table().end()) {
    fail_usage("unknown model '{}' (known: {}){}", name, fmt::join(names(), ", "), did_you_mean(name, names()));
  }
  return found->second;
}

Graph build(const std::string& name, const ModelOptions& options) {
  const Model& model = find(name);
  const std::int64_t classes = options.classes.value_or(model.classes);
  if (classes < 2 || classes > 1'000'000) fail_usage("model {}: {} classes, expected 2 or more", name, classes);
  const FeatureShape input = options.input == FeatureShape{} ? model.input : options.input;
  const ModelSettings settings{.name = name,
                               .classes = classes,
                               .input = input,
                               .shortcut = shortcut_of(name, model, options.shortcut),
                               .dropout = dropout_of(name, model, options.dropout)};
  try {
    return model.build(settings);
  } catch (const UsageError&) {
    throw;
  } catch (const Error& error) {
    fail_usage("model {} can't be built for pictures of {}x{}x{}: {}", name, input.h, input.w, input.c, error.what());
  }
}

}  // namespace hinge::models
