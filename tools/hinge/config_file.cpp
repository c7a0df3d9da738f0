#include "tools/hinge/config_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/io/json.h"

namespace hinge::cli {
namespace {

using nlohmann::json;

constexpr std::string_view kFlag = "--config";

// The value of --config FILE or --config=FILE; "" if there is none.
std::string file_in(const std::vector<std::string>& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == kFlag && i + 1 < words.size()) return words[i + 1];
    if (words[i].starts_with(kFlag) && words[i].size() > kFlag.size() && words[i][kFlag.size()] == '=') return words[i].substr(kFlag.size() + 1);
  }
  return "";
}

std::string text_of(const json& value, const std::string& origin, const std::string& name) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return value.dump();
  require(value.is_array(), "{}: option '{}' is {}, expected text, a number, true, false or a list", origin, name, value.dump());
  std::string list;
  for (const json& element : value) {
    require(!element.is_array(), "{}: option '{}' is a list of lists", origin, name);
    list += (list.empty() ? "" : ",") + text_of(element, origin, name);
  }
  return list;
}

}  // namespace

std::vector<std::string> with_config_file(const std::vector<std::string>& words) {
  const std::string file = file_in(words);
  const bool resuming = std::ranges::any_of(words, [](const std::string& word) { return word.starts_with("--resume"); });
  if (file.empty() || resuming) return words;  // a resumed run refuses every other option by itself
  const json content = io::read_json(file);
  require(content.is_object(), "{}: expected a JSON object of options", file);
  const bool of_run = content.contains("options");
  const json& options = of_run ? content["options"] : content;
  require(options.is_object(), "{}: 'options' is no JSON object", file);
  if (of_run && content.contains("command") && content["command"] != words.at(0)) {
    fail_usage("--config {} is of 'hinge {}', not of 'hinge {}'", file, content["command"].is_string() ? content["command"].get<std::string>() : content["command"].dump(), words[0]);
  }
  std::vector<std::string> result = words;
  for (const auto& [name, value] : options.items()) {
    const std::string flag = "--" + name;
    const bool given = std::ranges::any_of(words, [&](const std::string& word) { return word == flag || word.starts_with(flag + "="); });
    if (given || value.is_null()) continue;
    if (value.is_boolean()) {
      if (value.get<bool>()) result.push_back(flag);
      continue;
    }
    const std::string text = text_of(value, file, name);
    if (!text.empty()) result.push_back(flag + "=" + text);
  }
  return result;
}

}  // namespace hinge::cli
