#include "engine/io/protobuf.h"

#include <limits>

#include "tests/support/catch.h"

using hinge::io::ProtoMessage;

namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string text;
  for (int value : values) text += static_cast<char>(value);
  return text;
}

}  // namespace

TEST_CASE("fields are encoded as the specification's examples are") {
  // https://protobuf.dev/programming-guides/encoding: Test1 {a: 150}, Test2 {b: "testing"}, Test3 {c {a: 150}}, -2.
  const ProtoMessage inner = ProtoMessage().integer(1, 150);
  CHECK(inner.encoded() == bytes({0x08, 0x96, 0x01}));
  CHECK(ProtoMessage().text(2, "testing").encoded() == bytes({0x12, 0x07}) + "testing");
  CHECK(ProtoMessage().message(3, inner).encoded() == bytes({0x1a, 0x03, 0x08, 0x96, 0x01}));
  CHECK(ProtoMessage().integer(1, -2).encoded() == bytes({0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}));
}

TEST_CASE("numbers at the edges take the bytes they need") {
  CHECK(ProtoMessage().integer(1, 0).encoded() == bytes({0x08, 0x00}));
  CHECK(ProtoMessage().integer(1, 127).encoded() == bytes({0x08, 0x7f}));
  CHECK(ProtoMessage().integer(1, 128).encoded() == bytes({0x08, 0x80, 0x01}));
  CHECK(ProtoMessage().integer(1, std::numeric_limits<std::int64_t>::max()).encoded() ==
        bytes({0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}));
  CHECK(ProtoMessage().integer(16, 1).encoded() == bytes({0x80, 0x01, 0x01}));  // a field number above 15
  CHECK(ProtoMessage().real(2, 1.0f).encoded() == bytes({0x15, 0x00, 0x00, 0x80, 0x3f}));
  CHECK(ProtoMessage().real64(1, 1.0).encoded() == bytes({0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f}));
  CHECK(ProtoMessage().text(1, "").encoded() == bytes({0x0a, 0x00}));
}

TEST_CASE("fields follow each other in the order in which they were written") {
  CHECK(ProtoMessage().integer(1, 1).text(2, "a").integer(1, 2).encoded() == bytes({0x08, 0x01, 0x12, 0x01, 'a', 0x08, 0x02}));
}
