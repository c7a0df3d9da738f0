// A hash of 64 bits that tells apart what is different by accident: data, weights. Not against forgery.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace hinge {

// Takes eight bytes at a time, each followed by the 64-bit finaliser of MurmurHash3 (Appleby):
//
//   state <- mix(state ^ word) + golden ratio
//
// mix is a bijection, so a change to a single word is always seen, and it spreads every bit over
// all 64. A plain word-wise FNV-1a moves differences only upwards, so two changed top bits cancel.
class Hash {
 public:
  void add(std::span<const std::uint8_t> bytes) {
    add(static_cast<std::uint64_t>(bytes.size()));
    std::size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) add(little_endian(bytes.subspan(i, 8)));
    if (i < bytes.size()) add(little_endian(bytes.subspan(i)));
  }
  void add(std::string_view text) {
    add({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  }
  void add(std::uint64_t word) {
    std::uint64_t x = state_ ^ word;
    x = (x ^ (x >> 33)) * 0xFF51AFD7ED558CCDu;
    x = (x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53u;
    state_ = (x ^ (x >> 33)) + 0x9E3779B97F4A7C15u;
  }
  std::uint64_t value() const { return state_; }

 private:
  static std::uint64_t little_endian(std::span<const std::uint8_t> bytes) {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      word |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
    }
    return word;
  }

  std::uint64_t state_ = 0;
};

}  // namespace hinge
