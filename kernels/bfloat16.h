// bfloat16: the upper sixteen bits of a float, rounded to nearest, to even in the middle.
//
//   y = bfloat16(x)    |y - x| <= 2^-8 |x| from 2^-126 on (8 bits of significand); infinity and NaN stay what they are, the sign of zero too
//
// It halves the bytes that travel and that lie in memory; what is computed is float.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/simt/host_device.h"

namespace hinge {

SIMT_HOST_DEVICE inline std::uint16_t bfloat16_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  // A NaN whose bits all lie in the lower half would become infinity.
  const std::uint32_t rounded = nan ? bits | 0x00400000u : bits + 0x7fffu + (bits >> 16 & 1u);
  return static_cast<std::uint16_t>(rounded >> 16);
}

SIMT_HOST_DEVICE inline float float_of(std::uint16_t y) {
  const std::uint32_t bits = static_cast<std::uint32_t>(y) << 16;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// A number as it lies in memory. By integers and not by the GPU's own instructions, so that every device makes the same bits of a
// NaN too.
struct Bfloat16 {
  std::uint16_t bits;

  Bfloat16() = default;
  SIMT_HOST_DEVICE explicit Bfloat16(float x) : bits(bfloat16_of(x)) {}
  SIMT_HOST_DEVICE explicit operator float() const { return float_of(bits); }
};

namespace kernels {

// y = bfloat16(x).
struct ToBfloat16 {
  static constexpr const char* kName = "to bfloat16";
  using Signature = void(std::int64_t size, const float* x, Bfloat16* y);
};
// x = y, exactly.
struct FromBfloat16 {
  static constexpr const char* kName = "from bfloat16";
  using Signature = void(std::int64_t size, const Bfloat16* y, float* x);
};

}  // namespace kernels
}  // namespace hinge
