// Options bound to the command line and to config.json at once: what a run was started with can be read back.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace hinge::cli {

class Flags {
 public:
  explicit Flags(CLI::App& app) : app_(app) {}

  // An option with a value. `name` is "--lr"; the value given here is its default and is shown in --help.
  template <class T>
  CLI::Option* option(const std::string& name, T& value, const std::string& help) {
    remember(name, value);
    return app_.add_option(name, value, help)->capture_default_str();
  }
  // An option without a value.
  CLI::Option* flag(const std::string& name, bool& value, const std::string& help) {
    remember(name, value);
    return app_.add_flag(name, value, help);
  }
  // Headings in --help.
  void group(const std::string& title) { app_.option_defaults()->group(title); }

  nlohmann::json values() const {
    nlohmann::json out = nlohmann::json::object();
    for (const Field& field : fields_) out[field.name] = field.get();
    return out;
  }
  // Unknown names in `values` are an Error: the file is of another version or was edited wrongly.
  void set(const nlohmann::json& values, const std::string& origin);

 private:
  struct Field {
    std::string name;
    std::function<nlohmann::json()> get;
    std::function<void(const nlohmann::json&)> set;
  };
  template <class T>
  void remember(const std::string& name, T& value) {
    fields_.push_back({name.substr(name.find_first_not_of('-')), [&value] { return nlohmann::json(value); },
                       [&value](const nlohmann::json& json) { value = json.get<T>(); }});
  }

  CLI::App& app_;
  std::vector<Field> fields_;
};

}  // namespace hinge::cli
