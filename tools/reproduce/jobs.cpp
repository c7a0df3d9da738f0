#include "tools/reproduce/jobs.h"

#include <algorithm>
#include <set>

#include "engine/core/error.h"
#include "engine/core/names.h"

namespace hinge::reproduce {
namespace {

using cli::Recipe;
using cli::recipe_of;
using nlohmann::json;

std::string table_of(const Recipe& recipe) {
  const std::string source = recipe.expected.is_object() ? recipe.expected.value("source", "") : "";
  const std::size_t at = source.rfind("table ");
  return at == std::string::npos ? "" : "table" + source.substr(at + 6);
}

std::string text_of(const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// What of a recipe says what is to be reached, not how.
constexpr const char* kGoals[] = {"target", "count", "mode", "minimum-share"};

json with(json base, const json& over) {
  base.update(over);
  return base;
}

int epochs_in(const json& options, const char* key, int otherwise) { return options.value(key, otherwise); }

}  // namespace

std::vector<std::string> words_of(const json& options) {
  std::vector<std::string> words;
  for (const auto& [name, value] : options.items()) {
    if (value.is_boolean()) {
      if (value.get<bool>()) words.push_back("--" + name);
      continue;
    }
    std::string text;
    if (value.is_array()) {
      for (const json& element : value) text += (text.empty() ? "" : ",") + text_of(element);
    } else {
      text = text_of(value);
    }
    if (!text.empty()) words.push_back("--" + name + "=" + text);
  }
  return words;
}

std::vector<std::string> rows_of_table(int table) {
  std::vector<std::string> rows;
  for (const std::string& name : cli::recipe_names()) {
    if (table_of(recipe_of(name)) == "table" + std::to_string(table)) rows.push_back(name);
  }
  return rows;
}

std::vector<std::string> rows_named(const std::vector<std::string>& names) {
  std::vector<std::string> known = {"table1", "table2"};
  for (const std::string& name : cli::recipe_names()) known.push_back(name);
  std::vector<std::string> rows;
  const auto add = [&](const std::string& row) {
    if (std::ranges::find(rows, row) == rows.end()) rows.push_back(row);
  };
  for (const std::string& name : names) {
    if (std::ranges::find(known, name) == known.end()) fail_usage("--row {}: no such table or row (known: {}){}", name, fmt::join(known, ", "), did_you_mean(name, known));
    if (name == "table1" || name == "table2") {
      for (const std::string& row : rows_of_table(name.back() - '0')) add(row);
    } else {
      add(name);
    }
  }
  return rows;
}

std::vector<Job> jobs_of(const Request& request, const Schedule& schedule) {
  const std::vector<std::string> known = {"hinge", "l1-norm", "random", "svd", "fpgm", "scratch"};
  for (const std::string& method : request.methods) {
    if (std::ranges::find(known, method) == known.end()) fail_usage("--methods: unknown method '{}' (known: {}){}", method, fmt::join(known, ", "), did_you_mean(method, known));
  }
  const bool scratch = std::ranges::find(request.methods, "scratch") != request.methods.end();
  if (scratch && std::ranges::find(request.methods, "hinge") == request.methods.end()) fail_usage("--methods scratch trains the network that hinge found: hinge is missing");
  std::vector<Job> jobs;
  std::set<std::string> baselines;
  for (int seed = request.first_seed; seed < request.first_seed + request.seeds; ++seed) {
    for (const std::string& row : request.rows) {
      const Recipe recipe = recipe_of(row);
      require(!recipe.network.empty() && !recipe.data.empty(), "{}: 'network' or 'data' is missing, so it is no row to reproduce", row);
      const std::string trained = recipe.network + "-" + recipe.data;
      const json data = {{"data", recipe.data}, {"data-dir", request.data_dir}};
      std::string weights = request.weights;
      if (weights.empty()) {
        const std::filesystem::path folder = request.out / (trained + "-baseline");
        weights = (folder / "model.safetensors").string();
        if (baselines.insert(trained).second) {
          Job job{.row = trained, .network = recipe.network, .kind = "baseline", .seed = request.first_seed, .folder = folder, .words = {"train", "--model=" + recipe.network}};
          const json options = with(with(with(schedule.baseline, data), request.options), {{"seed", request.first_seed}, {"out", folder.string()}});
          for (std::string& word : words_of(options)) job.words.push_back(std::move(word));
          job.epochs = epochs_in(schedule.baseline, "epochs", 100);
          jobs.push_back(std::move(job));
        }
      } else if (baselines.insert(trained).second && baselines.size() > 1) {
        fail_usage("--weights is one network, the rows are of {}", fmt::join(baselines, " and "));
      }
      json goals = json::object();
      for (const char* key : kGoals) {
        if (!schedule.recipe && recipe.options.contains(key)) goals[key] = recipe.options[key];
      }
      const auto setting = [&](const char* key, int otherwise) { return epochs_in(schedule.compress, key, schedule.recipe ? epochs_in(recipe.options, key, otherwise) : otherwise); };
      const int searching = setting("search-epochs", 6), tuning = setting("epochs", 20);
      std::filesystem::path plan;
      for (const std::string& method : known) {  // hinge first: scratch needs its plan
        if (std::ranges::find(request.methods, method) == request.methods.end()) continue;
        Job job{.row = row, .network = recipe.network, .kind = method, .seed = seed, .folder = request.out / row / fmt::format("seed-{}", seed) / method, .words = {"compress", "--weights=" + weights, "--model=" + recipe.network}};
        if (!request.shortcut.empty()) job.words.push_back("--shortcut=" + request.shortcut);
        if (schedule.recipe) job.words.push_back("--recipe=" + row);
        json options = with(with(with(with(goals, schedule.compress), data), request.options), {{"seed", seed}, {"out", job.folder.string()}});
        if (method == "hinge") {
          plan = job.folder / "plan.json";
        } else {
          options["method"] = method, options["epochs"] = searching + tuning;
          if (method == "scratch") options["plan"] = plan.string();
        }
        for (std::string& word : words_of(options)) job.words.push_back(std::move(word));
        job.epochs = searching + tuning;
        jobs.push_back(std::move(job));
      }
    }
  }
  return jobs;
}

}  // namespace hinge::reproduce
