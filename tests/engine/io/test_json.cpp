// engine/io/json: what is read is what was written, and hostile text gives an Error.
#include "engine/io/json.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/engine/io/scratch.h"
#include "tests/support/catch.h"

namespace hinge::io {
namespace {

using nlohmann::json;
using testing::contains;

std::string nested(int depth, char open, char close) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += open == '{' && i > 0 ? "\"a\":{" : std::string(1, open);
  return text + std::string(static_cast<std::size_t>(depth), close);
}

TEST_CASE("JSON reads back as it was written, numbers exactly") {
  const Scratch scratch;
  const json value = {{"epoch", 12},
                      {"largest", std::numeric_limits<std::uint64_t>::max()},
                      {"smallest", std::numeric_limits<std::int64_t>::min()},
                      {"rate", 0.1},
                      {"tiny", std::numeric_limits<double>::denorm_min()},
                      {"name", "ä \"quoted\" \n line"},
                      {"nothing", nullptr},
                      {"flags", {true, false}},
                      {"empty", {{"list", json::array()}, {"object", json::object()}}}};
  write_json(scratch / "a.json", value);
  CHECK(read_json(scratch / "a.json") == value);
  CHECK(parse_json(json_text(value, "a"), "a") == value);
}

TEST_CASE("written JSON is indented by two, sorted, and ends with a newline") {
  const Scratch scratch;
  write_json(scratch / "a.json", json{{"b", 1}, {"a", {2}}});
  CHECK(read_file(scratch / "a.json") == "{\n  \"a\": [\n    2\n  ],\n  \"b\": 1\n}\n");
}

TEST_CASE("NaN and infinity are written as null") {
  const double infinity = std::numeric_limits<double>::infinity();
  const json value = {std::numeric_limits<double>::quiet_NaN(), infinity, -infinity, 1.5};
  CHECK(json_text(value, "a") == "[null,null,null,1.5]");
}

TEST_CASE("malformed JSON is refused with the file and the place") {
  const Scratch scratch;
  write_file_atomically(scratch / "a.json", "{\n  \"a\": 1,\n  \"b\" 2\n}");
  const std::string message = error_of([&] { read_json(scratch / "a.json"); });
  CHECK_THAT(message, contains((scratch / "a.json").string() + ": line 3, column"));
  CHECK_THAT(error_of([&] { read_json(scratch / "none.json"); }), contains("none.json"));

  const std::vector<std::string> texts = {
      "", " ", "{", "}", "[1,]", "{\"a\":}", "{\"a\" 1}",
      "nul", "01", "1 2", "{}{}", "'a'", "\"\xff\xfe\"", "\"a",
      "[1e999]", "{a: 1}", "// note\n1", "[1] \x01", "\xef\xbb", "\"\\ud800\"", "-"};
  for (const std::string& text : texts) {
    INFO(text);
    CHECK_THAT(error_of([&] { parse_json(text, "origin"); }), contains("origin: "));
  }
}

TEST_CASE("a NUL byte does not end the text") {
  using namespace std::string_literals;
  CHECK_THAT(error_of([] { parse_json("{}\0{\"hidden\": 1}"s, "a"); }),
             contains("a: byte 2 is NUL"));
}

TEST_CASE("a key that occurs twice in one object is refused, at any depth") {
  CHECK(error_of([] { parse_json(R"({"a": 1, "b": 2, "a": 3})", "r"); }) ==
        "r: the key \"a\" occurs twice");
  CHECK_THAT(error_of([] { parse_json(R"([{"x": {"k": 1, "\u006b": 1}}])", "r"); }),
             contains("\"k\" occurs twice"));
  CHECK(error_of([] { parse_json(R"([{"a": {"a": 1}}, {"a": {"a": 1}}, {"b": "a"}])", "r"); }) ==
        "no error");
}

TEST_CASE("64 levels of nesting are read and written, 65 and a million are refused") {
  for (const auto& [open, close] : {std::pair('[', ']'), std::pair('{', '}')}) {
    const json deepest = parse_json(nested(kMaxJsonDepth, open, close), "a");
    CHECK(parse_json(json_text(deepest, "a"), "a") == deepest);
    for (int depth : {kMaxJsonDepth + 1, 1'000'000}) {
      CHECK(error_of([&] { parse_json(nested(depth, open, close), "a"); }) ==
            "a: nested deeper than 64 levels");
    }
    CHECK_THAT(error_of([&] { json_text(json::array({deepest}), "a"); }),
               contains("nested deeper"));
  }
}

TEST_CASE("text that is not UTF-8 is refused when writing, and the old file stays") {
  const Scratch scratch;
  write_json(scratch / "a.json", json{{"a", 1}});
  CHECK_THAT(error_of([&] {
               write_json(scratch / "a.json", json{{"a", "\xff"}});
             }),
             contains("a.json: "));
  CHECK(read_json(scratch / "a.json") == json{{"a", 1}});
}

}  // namespace
}  // namespace hinge::io
