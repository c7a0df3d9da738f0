// What of a run's folder must be equal when a run is repeated, and what must not be there.
#pragma once

#include <nlohmann/json.hpp>

#include "tests/tools/process.h"

namespace hinge::testing {

// Takes away what differs from one process to the next: times, places, what the machine was.
inline void forget_circumstances(nlohmann::json& json) {
  if (json.is_object()) {
    for (const char* key : {"seconds", "milliseconds_per_image", "layer_times", "images_per_second", "environment", "config", "finished", "peak_resident_bytes"}) json.erase(key);
  }
  if (json.is_structured()) {
    for (nlohmann::json& child : json) forget_circumstances(child);
  }
}

// The networks, plans, groups, errors, metrics and the result of a finished run, as one text.
inline std::string essence(const std::filesystem::path& run) {
  std::string all = slurp(run / "model.safetensors");
  for (const char* name : {"surgery.safetensors", "plan.json", "groups.json", "tuned.json"}) {
    if (std::filesystem::exists(run / name)) all += std::string(name) + slurp(run / name);
  }
  std::istringstream lines(slurp(run / "metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    auto json = nlohmann::json::parse(line);
    forget_circumstances(json);
    all += json.dump() + "\n";
  }
  auto result = nlohmann::json::parse(slurp(run / "result.json"));
  forget_circumstances(result);
  return all + result.dump();
}

// Names of half-written files anywhere below `folder`.
inline std::string half_written(const std::filesystem::path& folder) {
  std::string names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().filename().string().find(".partial-") != std::string::npos) names += entry.path().string() + " ";
  }
  return names;
}

// The long form of a test that is random: HINGE_LONG_TESTS=1. How much, and from which seed, is printed.
inline bool long_tests() {
  const char* value = std::getenv("HINGE_LONG_TESTS");
  return value != nullptr && std::string(value) == "1";
}

}  // namespace hinge::testing
