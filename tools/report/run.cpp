#include "tools/report/run.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/json.h"

namespace hinge::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::optional<double> number(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

Score score_of(const json& j) {
  return {.top1_error = j.at("top1_error"), .cross_entropy = j.at("cross_entropy"), .top5_error = number(j, "top5_error"), .parameters = j.at("parameters"), .macs = j.at("macs"), .milliseconds = number(j, "milliseconds_per_image")};
}

Proof proof_of(const json& j) {
  return {j.at("images"), j.at("largest_difference"), j.at("largest_logit"), j.at("relative"), j.at("bound")};
}

std::string reason_of(const std::string& bound, double threshold, int minimum) {
  if (bound == "merged") return "a pair would cost as much as one convolution, so it stays one";
  if (bound == "nothing removed") return fmt::format("every score is above {:.3f}", threshold);
  if (bound == "minimum share") return fmt::format("more scores are below {:.3f}, but {} must stay", threshold, minimum);
  return fmt::format("scores above {:.3f} stay", threshold);
}

Layer layer_of(const json& set, double threshold) {
  Layer layer{.name = set.at("layer"), .unit = set.at("kind") == "rank" ? "ranks" : "channel groups", .groups = static_cast<int>(set.at("scores").size()), .kept = static_cast<int>(set.at("kept").size()), .carriers = static_cast<int>(set.at("carriers").size()), .reason = reason_of(set.at("bound"), threshold, set.at("minimum"))};
  const std::string form = set.at("form");
  if (form == "merged") {
    layer.kept = layer.groups;
  } else if (layer.kept < layer.groups) {
    layer.fate = form == "pair" ? Fate::kDecomposed : Fate::kPruned;
  }
  return layer;
}

std::vector<Layer> layers_of(const json& groups) {
  std::vector<Layer> layers;
  const double threshold = groups.at("threshold");
  for (const json& set : groups.at("sets")) layers.push_back(layer_of(set, threshold));
  for (const json& refusal : groups.at("refused")) layers.push_back({.name = refusal.at("layer"), .unit = "", .reason = refusal.at("reason")});
  return layers;
}

Epoch epoch_of(const json& line) {
  Epoch epoch{.phase = line.at("phase"), .number = line.at("epoch"), .train_loss = number(line, "train_loss"), .train_error = number(line, "train_error"), .held_out_loss = {}, .held_out_error = {}, .flops_ratio = number(line, "flops_ratio"), .lambda = number(line, "lambda"), .penalty = number(line, "penalty"), .histograms = {}};
  if (const auto held_out = line.find("held_out"); held_out != line.end()) {
    epoch.held_out_loss = number(*held_out, "cross_entropy"), epoch.held_out_error = number(*held_out, "top1_error");
  }
  if (const auto histograms = line.find("score_histograms"); histograms != line.end()) epoch.histograms = histograms->get<std::vector<std::vector<int>>>();
  return epoch;
}

// Reads with `act`; what nlohmann throws becomes an Error with the file's name.
template <class Act>
void read(const fs::path& file, Act act) {
  try {
    act();
  } catch (const json::exception& error) {
    fail("{}: not as hinge writes it: {}", file.string(), error.what());
  }
}

void read_metrics(const fs::path& file, Run& run) {
  if (!fs::exists(file)) return;
  const std::string text = io::read_file(file);
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    ++number;
    const std::string origin = fmt::format("{}: line {}", file.string(), number);
    const json line = io::parse_json(std::string_view(text).substr(begin, end - begin), origin);
    read(origin, [&] { run.epochs.push_back(epoch_of(line)); });
    begin = end + 1;
  }
}

void read_groups(const fs::path& file, Run& run, Compressed& compressed) {
  if (!fs::exists(file)) return;
  const json groups = io::read_json(file);
  read(file, [&] {
    compressed.layers = layers_of(groups);
    run.sets.clear();
    for (const json& set : groups.at("sets")) run.sets.push_back(set.at("set"));
  });
}

ErrorBudget budget_of(const json& j) {
  ErrorBudget budget{.increase = j.at("max_error_increase"), .before = j.at("held_out_error_before"), .candidates = j.at("candidates"), .trials = {}, .chosen = {}};
  for (const json& trial : j.at("tried")) budget.trials.push_back({trial.at("target"), trial.at("held_out_error"), trial.at("increase"), trial.at("within")});
  if (!j.at("chosen").is_null()) budget.chosen = j.at("chosen").get<std::string>();
  return budget;
}

// A name inside a file leads to nothing outside of the run.
fs::path inside(const fs::path& folder, const std::string& name, const fs::path& file) {
  const fs::path path = fs::path(name).lexically_normal();
  require(!path.empty() && path.is_relative() && *path.begin() != "..", "{}: 'folder' is '{}', expected a folder of the run", file.string(), name);
  return folder / path;
}

void read_result(const fs::path& folder, Run& run) {
  const fs::path file = folder / "result.json";
  if (!fs::exists(file)) return;
  const json result = io::read_json(file);
  read(file, [&] {
    run.finished = result.value("finished", ""), run.architecture = result.value("architecture", "");
    run.method = result.value("method", ""), run.mode = result.value("mode", ""), run.selected_by = result.value("selected_by", "");
    if (run.config.is_null()) run.config = result.at("config");
    if (run.environment.empty() && result.contains("environment")) {
      for (const auto& [key, value] : result["environment"].items()) run.environment[key] = value.is_string() ? value.get<std::string>() : value.dump();
    }
    run.expected = result.value("expected", json());
    if (result.contains("budget")) run.budget = budget_of(result["budget"]);
    if (!result.contains("before")) {
      run.trained = score_of(result);
      return;
    }
    for (const json& network : result.contains("networks") ? result["networks"] : json::array({result})) {
      Compressed compressed{.target = network.at("target"), .before = score_of(network.at("before")), .after = score_of(network.at("after")), .proof = {}, .layers = {}, .times = {}};
      if (network.contains("proof")) compressed.proof = proof_of(network["proof"]);
      if (const auto times = network.find("layer_times"); times != network.end() && !times->is_null()) {
        compressed.timed_batch = times->at("batch");
        for (const json& layer : times->at("layers")) compressed.times.push_back({layer.at("layer"), layer.at("before"), layer.at("after")});
      }
      read_groups(inside(folder, network.value("folder", "."), file) / "groups.json", run, compressed);
      run.compressed.push_back(std::move(compressed));
    }
  });
}

std::string quoted(const std::string& text) {
  const auto plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("-_./=,:@%+").find(c) != std::string_view::npos; };
  if (!text.empty() && std::ranges::all_of(text, plain)) return text;
  std::string result = "'";
  for (char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::string value_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) {  // a float's shortest text where it is one
    const double number = value.get<double>();
    const auto single = static_cast<float>(number);
    return static_cast<double>(single) == number ? fmt::format("{}", single) : fmt::format("{}", number);
  }
  if (!value.is_array()) return value.dump();
  std::string list;
  for (const json& element : value) list += (list.empty() ? "" : ",") + value_text(element);
  return list;
}

}  // namespace

Run read_run(const fs::path& folder) {
  Run run{.folder = folder.string()};
  const fs::path config = folder / "config.json", environment = folder / "environment.json";
  if (!fs::exists(config) && !fs::exists(folder / "result.json")) fail_usage("{}: no run of hinge here: neither config.json nor result.json", folder.string());
  if (fs::exists(config)) run.config = io::read_json(config);
  if (fs::exists(environment)) {
    const json values = io::read_json(environment);
    for (const auto& [key, value] : values.items()) run.environment[key] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  read_result(folder, run);
  read(config, [&] {
    run.command = run.config.at("command");
    const json& options = run.config.at("options");
    run.data = options.value("data", "");
    if (run.data == "folder") run.data = fs::path(options.value("data-dir", "")).lexically_normal().filename().string();
    if (run.architecture.empty()) run.architecture = options.value("model", "");
    if (run.method.empty()) run.method = options.value("method", "");
  });
  read_metrics(folder / "metrics.jsonl", run);
  return run;
}

std::vector<std::string> command_line(const json& config) {
  std::vector<std::string> parts = {"hinge " + quoted(config.at("command").get<std::string>())};
  for (const auto& [name, value] : config.at("options").items()) {
    if (value.is_boolean()) {
      if (value.get<bool>()) parts.push_back("--" + name);
      continue;
    }
    const std::string text = value_text(value);
    if (!text.empty()) parts.push_back("--" + name + " " + quoted(text));
  }
  return parts;
}

}  // namespace hinge::report
