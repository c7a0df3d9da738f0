// JSON text with errors that name the file, and limits that hold against hostile text.
//
// Refused when reading: nesting deeper than 64, a key that occurs twice in one object, a NUL byte.
// JSON has no NaN and no infinity: such numbers are written as null and come back as null, so code
// that must keep them has to store them as text.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace hinge::io {

inline constexpr int kMaxJsonDepth = 64;

// `origin` names the source in errors: "recipe.json: line 3, column 7: ...".
nlohmann::json parse_json(std::string_view text, const std::string& origin);

// Text that parse_json accepts; deterministic, as keys are sorted. A negative indent gives one
// line.
std::string json_text(const nlohmann::json& value, const std::string& origin, int indent = -1);

nlohmann::json read_json(const std::filesystem::path& path);

// Indented by 2, with a newline at the end, written atomically (file.h).
void write_json(const std::filesystem::path& path, const nlohmann::json& value);

}  // namespace hinge::io
