#include "engine/io/tfrecord.h"

#include <array>
#include <bit>
#include <cstring>

namespace hinge::io {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers go into files as they lie in memory");

constexpr std::size_t kAround = 8 + 4 + 4;  // bytes of a record beside its payload

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ ((value & 1) != 0 ? 0x82f63b78u : 0u);  // the polynomial, reversed
    table[i] = value;
  }
  return table;
}
constexpr std::array<std::uint32_t, 256> kTable = make_table();

template <class T>
std::string bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t value = ~0u;
  for (const char c : bytes) value = value >> 8 ^ kTable[(value ^ static_cast<unsigned char>(c)) & 0xffu];
  return ~value;
}

std::uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

std::string tfrecord(std::string_view payload) {
  const std::string length = bytes_of<std::uint64_t>(payload.size());
  return length + bytes_of(masked_crc32c(length)) + std::string(payload) + bytes_of(masked_crc32c(payload));
}

std::uint64_t tfrecord_offset(std::string_view file, std::int64_t count) {
  std::uint64_t at = 0;
  for (; count > 0 && file.size() - at >= kAround; --count) {
    std::uint64_t length = 0;
    std::memcpy(&length, file.data() + at, sizeof length);
    if (length > file.size() - at - kAround) break;
    at += kAround + length;
  }
  return at;
}

}  // namespace hinge::io
