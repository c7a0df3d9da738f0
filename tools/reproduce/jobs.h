// Deciding: which runs make the rows of the paper's tables, in which order, with which options. Nothing is run here.
//
//   OUT/NETWORK-DATA-baseline            hinge train, unless a trained network is given
//   OUT/ROW/seed-S/hinge                 search and fine-tuning
//   OUT/ROW/seed-S/l1-norm, random, ...  controls: the same target, as many epochs in all; scratch trains the plan's network anew
//
// The first seed of every row comes before the second of any, so that a list that is cut off has a result for most rows.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/hinge/recipe.h"
#include "tools/reproduce/schedule.h"

namespace hinge::reproduce {

struct Request {
  std::vector<std::string> rows;  // names of recipes
  std::vector<std::string> methods = {"hinge", "l1-norm", "random", "svd", "scratch"};
  int first_seed = 0, seeds = 1;
  std::filesystem::path out;
  std::string data_dir;
  std::string weights, shortcut;  // a trained network instead of the baselines; all rows must be of one network and data set
  nlohmann::json options;         // of every run: "threads", "device", "mean", ...
};

struct Job {
  std::string row, network, kind;  // kind: "baseline" or a method
  int seed = 0;
  std::filesystem::path folder;
  std::vector<std::string> words;  // of the command line, without "hinge"
  int epochs = 0;                  // in all
};

// Throws UsageError where the request contradicts itself, naming the flag.
std::vector<Job> jobs_of(const Request& request, const Schedule& schedule);

// "table1", "table2" and names of rows -> names of rows, in the order in which they were named, each once. Throws UsageError with the known names.
std::vector<std::string> rows_named(const std::vector<std::string>& names);
// The recipes of "table1" or "table2".
std::vector<std::string> rows_of_table(int table);

// {"epochs": 3, "nesterov": true, "target": ["flops=0.5"]} -> "--epochs=3", "--nesterov", "--target=flops=0.5"; false and "" are left out.
std::vector<std::string> words_of(const nlohmann::json& options);

}  // namespace hinge::reproduce
