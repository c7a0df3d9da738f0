#include "tools/hinge/flags.h"

#include "engine/core/error.h"
#include "engine/core/names.h"

namespace hinge::cli {

void Flags::set(const nlohmann::json& values, const std::string& origin) {
  require(values.is_object(), "{}: expected a JSON object of options", origin);
  for (const auto& [key, value] : values.items()) {
    const std::string& name = key;
    const auto field = std::find_if(fields_.begin(), fields_.end(), [&](const Field& f) { return f.name == name; });
    if (field == fields_.end()) {
      std::vector<std::string> known;
      for (const Field& f : fields_) known.push_back(f.name);
      fail("{}: unknown option '{}'{}", origin, name, did_you_mean(name, known));
    }
    try {
      field->set(value);
    } catch (const nlohmann::json::exception& error) {
      fail("{}: option '{}' has the value {}: {}", origin, name, value.dump(), error.what());
    }
  }
}

}  // namespace hinge::cli
