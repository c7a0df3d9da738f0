// Recipes: the settings of a row of the paper's tables as a small file, and the row to expect.
//
//   {"network": "resnet56", "data": "cifar10", "options": {"target": ["flops=0.5"], "lambda": 4e-4, ...},
//    "expected": {"source": "table 1", "top1_error": 6.31, "baseline_error": 7.05, "flops": 50.0, "parameters": 48.73}}
// `options` are those of `hinge compress` without their dashes. The files of compress/recipes are part of the binary.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/hinge/flags.h"

namespace hinge::cli {

struct Recipe {
  std::string name, network, data;  // the latter two may be empty in a file of a user's own
  nlohmann::json options, expected;
};
// Throws UsageError on an unknown name (with the known ones), Error on a file that is no recipe.
Recipe recipe_of(const std::string& name_or_file);
std::vector<std::string> recipe_names();

// Throws UsageError if the recipe is for another network than `architecture` or another data set than `data`.
void check_recipe(const Recipe& recipe, const std::string& architecture, const std::string& data);

// Sets the recipe's options, except those given on the command line. Returns the expected row.
nlohmann::json apply_recipe(const std::string& name_or_file, const CLI::App& app, Flags& flags);

}  // namespace hinge::cli
