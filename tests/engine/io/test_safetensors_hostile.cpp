// engine/io/safetensors: no trust in a file. Whatever its bytes, it is valid or an Error.
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/io/safetensors.h"
#include "tests/engine/io/scratch.h"
#include "tests/support/catch.h"

namespace hinge::io {
namespace {

using testing::contains;

std::string error_with(const std::string& header, std::size_t data_bytes) {
  return error_of([&] { parse_safetensors(file_with(header, data_bytes), "f"); });
}

TEST_CASE("a file that lies about its size is refused") {
  const auto with_length = [](std::uint64_t length) {
    std::string bytes = file_with("{}", 0);
    std::memcpy(bytes.data(), &length, 8);
    return error_of([&] { parse_safetensors(bytes, "f"); });
  };
  CHECK_THAT(with_length(3), contains("f: header of 3 bytes in a file of 10"));
  CHECK_THAT(with_length(100'000'001), contains("at most 100000000 are allowed"));
  CHECK_THAT(with_length(std::numeric_limits<std::uint64_t>::max()), contains("at most"));
  CHECK_THAT(with_length(std::numeric_limits<std::uint64_t>::max() - 7), contains("at most"));
  CHECK_THAT(with_length(0), contains("must begin with '{'"));
  CHECK_THAT(error_of([] { parse_safetensors("1234567", "f"); }), contains("7 bytes"));
}

TEST_CASE("a hostile header is refused with the file and the reason") {
  struct Case {
    std::string header;
    std::size_t data_bytes;
    std::string reason;
  };
  const auto entry = [](const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
    return R"({"x":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
           "}}";
  };
  const auto two = [](const std::string& first, const std::string& second) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + first +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}";
  };
  const std::string deep(200'000, '[');
  const std::vector<Case> cases = {
      {"[1]", 0, "must begin with '{'"},
      {" {}", 0, "must begin with '{'"},
      {"{} {}", 0, "f: header"},
      {"{", 0, "f: header"},
      {std::string("{}\0 ", 4), 0, "NUL"},
      {"{\"x\":" + deep, 0, "nested deeper"},
      {"{\"__metadata__\":" + deep, 0, "nested deeper"},
      {"{\"\xff\":1}", 0, "f: header"},
      {R"({"x":1})", 0, "tensor \"x\": found number, expected an object"},
      {R"({"x":{}})", 0, "\"dtype\" is missing"},
      {R"({"x":{"dtype":"U8","data_offsets":[0,0]}})", 0, "\"shape\" is missing"},
      {R"({"x":{"dtype":"U8","shape":[0]}})", 0, "\"data_offsets\" is missing"},
      {entry("\"F8_E4M3\"", "[1]", "[0,1]"), 1, "dtype \"F8_E4M3\", expected F32"},
      {entry("\"f32\"", "[1]", "[0,4]"), 4, "dtype \"f32\""},
      {entry("32", "[1]", "[0,4]"), 4, "dtype is number"},
      {entry("\"U8\"", "3", "[0,3]"), 3, "shape is number"},
      {entry("\"U8\"", "[-1]", "[0,0]"), 0, "an extent is -1"},
      {entry("\"U8\"", "[-2,-2]", "[0,4]"), 4, "an extent is -2"},
      {entry("\"U8\"", "[1.0]", "[0,1]"), 1, "an extent is 1.0"},
      {entry("\"U8\"", "[true]", "[0,1]"), 1, "an extent is true"},
      {entry("\"U8\"", "[[1]]", "[0,1]"), 1, "an extent is array"},
      {entry("\"U8\"", "[18446744073709551615]", "[0,1]"), 1, "at most 2^63 - 1"},
      {entry("\"U8\"", "[99999999999999999999]", "[0,1]"), 1, "an extent is"},
      {entry("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0, "more than 2^59 elements"},
      {entry("\"U8\"", "[4294967296,4294967296,0]", "[0,0]"), 0, "more than 2^59 elements"},
      {entry("\"F64\"", "[2305843009213693952]", "[0,0]"), 0, "more than 2^59 elements"},
      {entry("\"F64\"", "[576460752303423488]", "[0,0]"), 0, "needs 4611686018427387904"},
      {entry("\"U8\"", "[1,1,1,1,1,1]", "[0,1]"), 1, "6 dimensions, at most 5"},
      {entry("\"U8\"", "[2]", "[0,1]"), 1, "1 bytes of data, shape [2] of U8 needs 2"},
      {entry("\"F32\"", "[2]", "[0,2]"), 2, "needs 8"},
      {entry("\"U8\"", "[]", "[0,0]"), 0, "needs 1"},
      {entry("\"U8\"", "[2]", "[0,2]"), 1, "inside the 1 bytes of data"},
      {entry("\"U8\"", "[2]", "[3,1]"), 4, "offsets 3 to 1"},
      {entry("\"U8\"", "[2]", "[-1,1]"), 4, "the first offset is -1"},
      {entry("\"U8\"", "[2]", "[0,2.0]"), 4, "the second offset is 2.0"},
      {entry("\"U8\"", "[2]", "[0,18446744073709551615]"), 4, "at most 2^63 - 1"},
      {entry("\"U8\"", "[2]", "[0,2,2]"), 2, "two numbers"},
      {entry("\"U8\"", "[2]", "2"), 2, "two numbers"},
      {entry("\"U8\"", "[2]", "[0,2]"), 3, "end at byte 2 of 3"},
      {entry("\"U8\"", "[2]", "[1,3]"), 3, "begins at byte 1, expected 0 (a gap)"},
      {"{}", 1, "end at byte 0 of 1"},
      {two("[0,4]", "[0,4]"), 4, "(an overlap)"},
      {two("[0,4]", "[2,6]"), 6, "begins at byte 2, expected 4 (an overlap)"},
      {two("[0,4]", "[5,9]"), 9, "tensor \"b\" begins at byte 5, expected 4 (a gap)"},
      {R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
       R"("x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
       1, "\"x\" occurs twice"},
      {R"({"x":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1,
       "\"dtype\" occurs twice"},
      {R"({"__metadata__":{"a":"1","a":"2"}})", 0, "\"a\" occurs twice"},
      {R"({"__metadata__":[]})", 0, "__metadata__ is array, expected an object"},
      {R"({"__metadata__":{"a":1}})", 0, "__metadata__ \"a\" is number, expected text"},
  };
  for (const Case& hostile : cases) {
    INFO(hostile.header.substr(0, 200));
    const std::string message = error_with(hostile.header, hostile.data_bytes);
    CHECK_THAT(message, contains("f: "));
    CHECK_THAT(message, contains(hostile.reason));
  }
}

TEST_CASE("a file cut anywhere, or grown, is refused") {
  const TensorFile file = {
      {{"a", Tensor::full({2, 3}, 1.5f)}, {"b", Tensor::zeros({5}, DType::kUint8)}},
      {{"key", "value"}}};
  const Scratch scratch;
  write_safetensors(scratch / "a", file);
  const std::string whole = read_file(scratch / "a");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    INFO(size);
    CHECK_THAT(error_of([&] { parse_safetensors(whole.substr(0, size), "f"); }), contains("f: "));
  }
  CHECK_THAT(error_of([&] { parse_safetensors(whole + '\0', "f"); }), contains("f: "));
}

TEST_CASE("random damage gives an Error or a valid file, nothing worse") {
  const std::string whole = file_with(R"({"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},)"
                                      R"("b":{"dtype":"I32","shape":[],"data_offsets":[12,16]}})",
                                      16);
  std::mt19937 random(3);
  const std::string pieces = std::string("0123456789[]{}\",:-.eE \xff_aFUI") + '\0';
  int valid = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = whole;
    for (unsigned i = 0; i < 1 + random() % 3; ++i) {
      bytes[random() % bytes.size()] = pieces[random() % pieces.size()];
    }
    const std::string message = error_of([&] { parse_safetensors(bytes, "f"); });
    if (message == "no error") {
      ++valid;
    } else if (!message.starts_with("f: ")) {
      FAIL(message);
    }
  }
  CHECK(valid > 0);
  CHECK(valid < 20'000);
}

}  // namespace
}  // namespace hinge::io
