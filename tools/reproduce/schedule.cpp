#include "tools/reproduce/schedule.h"

#include <algorithm>
#include <filesystem>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/io/json.h"
#include "hinge_schedules.h"

namespace hinge::reproduce {

std::vector<std::string> schedule_names() {
  std::vector<std::string> names;
  for (const auto& [name, text] : kSchedules) names.emplace_back(name);
  return names;
}

Schedule schedule_of(const std::string& name_or_file) {
  nlohmann::json json;
  for (const auto& [name, text] : kSchedules) {
    if (name == name_or_file) json = io::parse_json(std::string(text), "schedule " + name_or_file);
  }
  if (json.is_null()) {
    if (!std::filesystem::exists(name_or_file)) {
      fail_usage("--schedule {}: neither a file nor a known schedule (known: {}){}", name_or_file, fmt::join(schedule_names(), ", "), did_you_mean(name_or_file, schedule_names()));
    }
    json = io::read_json(name_or_file);
  }
  const std::vector<std::string> known = {"about", "recipe", "baseline", "compress"};
  require(json.is_object(), "{}: not a schedule: expected an object with {}", name_or_file, fmt::join(known, ", "));
  for (const auto& [key, value] : json.items()) {
    if (std::ranges::find(known, key) == known.end()) fail("{}: not a schedule: unknown key '{}' (known: {}){}", name_or_file, key, fmt::join(known, ", "), did_you_mean(key, known));
  }
  for (const char* key : {"baseline", "compress"}) require(json.contains(key) && json[key].is_object(), "{}: not a schedule: '{}' is missing or no object", name_or_file, key);
  require(!json.contains("recipe") || json["recipe"].is_boolean(), "{}: 'recipe' is {}, expected true or false", name_or_file, json.value("recipe", nlohmann::json()).dump());
  const std::string name = std::filesystem::path(name_or_file).stem().string();
  return {name, json.value("about", std::string()), json.value("recipe", false), json["baseline"], json["compress"]};
}

}  // namespace hinge::reproduce
