// JSON through nlohmann::json, whose parser is iterative; its writer is not, hence the depth limit.
#include "engine/io/json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "engine/core/error.h"
#include "engine/io/file.h"

namespace hinge::io {
namespace {

using nlohmann::json;

// "[json.exception.parse_error.101] parse error at line 1, column 2: ..." without the first words.
std::string plain_message(const json::exception& exception) {
  std::string message = exception.what();
  if (const std::size_t end = message.find("] "); end != std::string::npos) {
    message.erase(0, end + 2);
  }
  constexpr std::string_view kPrefix = "parse error at ";
  if (message.starts_with(kPrefix)) message.erase(0, kPrefix.size());
  return message;
}

bool deeper_than(const json& value, int limit) {
  if (!value.is_structured()) return false;
  if (limit == 0) return true;
  for (const json& child : value) {
    if (deeper_than(child, limit - 1)) return true;
  }
  return false;
}

}  // namespace

json parse_json(std::string_view text, const std::string& origin) {
  // nlohmann::json takes a NUL for the end of the text and would not look at what follows.
  const std::size_t nul = text.find('\0');
  require(nul == std::string_view::npos, "{}: byte {} is NUL, expected JSON text", origin, nul);

  std::vector<std::set<std::string>> keys;  // of the objects that are open, innermost last
  const auto watch = [&](int depth, json::parse_event_t event, const json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
        keys.emplace_back();
        [[fallthrough]];
      case json::parse_event_t::array_start:
        require(depth < kMaxJsonDepth, "{}: nested deeper than {} levels", origin, kMaxJsonDepth);
        break;
      case json::parse_event_t::object_end:
        keys.pop_back();
        break;
      case json::parse_event_t::key: {
        const auto& key = parsed.get_ref<const std::string&>();
        require(keys.back().insert(key).second, "{}: the key \"{}\" occurs twice", origin, key);
        break;
      }
      case json::parse_event_t::array_end:
      case json::parse_event_t::value:
        break;
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), watch);
  } catch (const json::exception& exception) {
    fail("{}: {}", origin, plain_message(exception));
  }
}

std::string json_text(const json& value, const std::string& origin, int indent) {
  require(!deeper_than(value, kMaxJsonDepth), "{}: nested deeper than {} levels", origin,
          kMaxJsonDepth);
  try {
    return value.dump(indent);
  } catch (const json::exception& exception) {
    fail("{}: {}", origin, plain_message(exception));
  }
}

json read_json(const std::filesystem::path& path) {
  return parse_json(read_file(path), path.string());
}

void write_json(const std::filesystem::path& path, const json& value) {
  write_file_atomically(path, json_text(value, path.string(), 2) + '\n');
}

}  // namespace hinge::io
