#include "tools/hinge/recipe.h"

#include "engine/core/error.h"
#include "engine/io/named_json.h"
#include "hinge_recipes.h"

namespace hinge::cli {

std::vector<std::string> recipe_names() { return io::names_of(kRecipes); }

Recipe recipe_of(const std::string& name_or_file) {
  const nlohmann::json json = io::named_json("--recipe", kRecipes, name_or_file);
  io::check_keys(json, name_or_file, "recipe", {"network", "data", "options", "expected"}, {"network", "data"});
  require(json.contains("options") && json["options"].is_object(), "{}: not a recipe: 'options' is missing", name_or_file);
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
