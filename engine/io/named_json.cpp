#include "engine/io/named_json.h"

#include <algorithm>
#include <filesystem>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/io/json.h"

namespace hinge::io {

std::vector<std::string> names_of(std::span<const BuiltIn> built_in) {
  std::vector<std::string> names;
  for (const auto& [name, text] : built_in) names.emplace_back(name);
  return names;
}

nlohmann::json named_json(const std::string& flag, std::span<const BuiltIn> built_in, const std::string& name) {
  for (const auto& [known, text] : built_in) {
    if (known == name) return parse_json(text, fmt::format("{} {}", flag, name));
  }
  if (!std::filesystem::exists(name)) {
    fail_usage("{} {}: neither a file nor a known name (known: {}){}", flag, name, fmt::join(names_of(built_in), ", "), did_you_mean(name, names_of(built_in)));
  }
  return read_json(name);
}

void check_keys(const nlohmann::json& json, const std::string& name, const std::string& kind, const std::vector<std::string>& keys, const std::vector<std::string>& texts) {
  require(json.is_object(), "{}: not a {}: expected an object with {}", name, kind, fmt::join(keys, ", "));
  for (const auto& [key, value] : json.items()) {
    if (std::ranges::find(keys, key) == keys.end()) fail("{}: not a {}: unknown key '{}' (known: {}){}", name, kind, key, fmt::join(keys, ", "), did_you_mean(key, keys));
    if (std::ranges::find(texts, key) != texts.end() && !value.is_string()) fail("{}: not a {}: '{}' is {}, expected a text", name, kind, key, value.dump());
  }
}

}  // namespace hinge::io
