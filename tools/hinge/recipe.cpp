#include "tools/hinge/recipe.h"

#include <algorithm>
#include <filesystem>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/io/json.h"
#include "hinge_recipes.h"

namespace hinge::cli {

std::vector<std::string> recipe_names() {
  std::vector<std::string> names;
  for (const auto& [name, text] : kRecipes) names.emplace_back(name);
  return names;
}

Recipe recipe_of(const std::string& name_or_file) {
  nlohmann::json json;
  for (const auto& [name, text] : kRecipes) {
    if (name_or_file == name) json = io::parse_json(std::string(text), "recipe " + name_or_file);
  }
  if (json.is_null()) {
    if (!std::filesystem::exists(name_or_file)) {
      fail_usage("--recipe {}: neither a file nor a known recipe (known: {}){}", name_or_file, fmt::join(recipe_names(), ", "),
                 did_you_mean(name_or_file, recipe_names()));
    }
    json = io::read_json(name_or_file);
  }
  require(json.is_object() && json.contains("options") && json["options"].is_object(), "{}: not a recipe: 'options' is missing", name_or_file);
  const std::vector<std::string> known = {"network", "data", "options", "expected"};
  for (const auto& [key, value] : json.items()) {
    if (std::ranges::find(known, key) == known.end()) {
      fail("{}: not a recipe: unknown key '{}' (known: {}){}", name_or_file, key, fmt::join(known, ", "), did_you_mean(key, known));
    }
  }
  return {name_or_file, json.value("network", std::string()), json.value("data", std::string()), json["options"], json.value("expected", nlohmann::json())};
}

void check_recipe(const Recipe& recipe, const std::string& architecture, const std::string& data) {
  if (!recipe.network.empty() && !architecture.empty() && recipe.network != architecture) {
    fail_usage("--recipe {} is for {}, the network is {}", recipe.name, recipe.network, architecture);
  }
  if (!recipe.data.empty() && recipe.data != data) fail_usage("--recipe {} is for {}, --data is {}", recipe.name, recipe.data, data);
}

nlohmann::json apply_recipe(const std::string& name_or_file, const CLI::App& app, Flags& flags) {
  const Recipe recipe = recipe_of(name_or_file);
  nlohmann::json options = recipe.options;
  for (const CLI::Option* option : app.get_options()) {
    if (option->count() > 0) options.erase(option->get_name().substr(2));
  }
  flags.set(options, "recipe " + name_or_file);
  return recipe.expected;
}

}  // namespace hinge::cli
