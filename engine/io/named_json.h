// JSON that a flag names: one that is part of the binary, or a file.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hinge::io {

using BuiltIn = std::pair<std::string_view, std::string_view>;  // name, text

std::vector<std::string> names_of(std::span<const BuiltIn> built_in);

// What `flag` ("--recipe") means by `name`: a name of `built_in`, else a file. Throws UsageError that names the nearest where it is
// neither, Error on what isn't JSON.
nlohmann::json named_json(const std::string& flag, std::span<const BuiltIn> built_in, const std::string& name);

// Throws Error that says "not a `kind`" unless `json` is an object of these keys alone, those among `texts` being texts.
void check_keys(const nlohmann::json& json, const std::string& name, const std::string& kind, const std::vector<std::string>& keys, const std::vector<std::string>& texts);

}  // namespace hinge::io
