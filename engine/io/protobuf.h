// Messages in the wire format of protocol buffers (https://protobuf.dev/programming-guides/encoding), written field by
// field: what ONNX files and TensorBoard's are made of.
//
//   message = field*     field = varint(number << 3 | wire type) value
//   wire type 0: varint; 1: eight bytes, little endian; 2: varint length and so many bytes; 5: four bytes, little endian
//
// A writer of a page instead of a library: generated classes would tie the build to one version of protobuf and onnx.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace hinge::io {

static_assert(std::endian::native == std::endian::little, "numbers go into files as they lie in memory");

class ProtoMessage {
 public:
  // int32, int64, bool and enums; negative numbers take ten bytes, as the format wants.
  ProtoMessage& integer(int field, std::int64_t value) {
    key(field, 0);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  ProtoMessage& real(int field, float value) {
    key(field, 5);
    append(std::as_bytes(std::span(&value, 1)));
    return *this;
  }
  ProtoMessage& real64(int field, double value) {
    key(field, 1);
    append(std::as_bytes(std::span(&value, 1)));
    return *this;
  }
  ProtoMessage& bytes(int field, std::span<const std::byte> value) {
    key(field, 2);
    varint(value.size());
    append(value);
    return *this;
  }
  ProtoMessage& text(int field, std::string_view value) { return bytes(field, std::as_bytes(std::span(value))); }
  ProtoMessage& message(int field, const ProtoMessage& value) { return text(field, value.encoded()); }

  // Valid as long as this message and until the next field.
  const std::string& encoded() const { return encoded_; }

 private:
  void key(int field, unsigned wire_type) { varint(static_cast<std::uint64_t>(field) << 3 | wire_type); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) encoded_ += static_cast<char>(value | 0x80);
    encoded_ += static_cast<char>(value);
  }
  void append(std::span<const std::byte> value) { encoded_.append(reinterpret_cast<const char*>(value.data()), value.size()); }

  std::string encoded_;
};

}  // namespace hinge::io
