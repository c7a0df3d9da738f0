#include "tools/reproduce/schedule.h"

#include <filesystem>

#include "engine/core/error.h"
#include "engine/io/named_json.h"
#include "hinge_schedules.h"

namespace hinge::reproduce {

std::vector<std::string> schedule_names() { return io::names_of(kSchedules); }

Schedule schedule_of(const std::string& name_or_file) {
  const nlohmann::json json = io::named_json("--schedule", kSchedules, name_or_file);
  io::check_keys(json, name_or_file, "schedule", {"about", "recipe", "baseline", "compress"}, {"about"});
  for (const char* key : {"baseline", "compress"}) require(json.contains(key) && json[key].is_object(), "{}: not a schedule: '{}' is missing or no object", name_or_file, key);
  require(!json.contains("recipe") || json["recipe"].is_boolean(), "{}: 'recipe' is {}, expected true or false", name_or_file, json.value("recipe", nlohmann::json()).dump());
  const std::string name = std::filesystem::path(name_or_file).stem().string();
  return {name, json.value("about", std::string()), json.value("recipe", false), json["baseline"], json["compress"]};
}

}  // namespace hinge::reproduce
