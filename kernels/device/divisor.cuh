// Division by a number that is the same for the whole launch, as a multiplication.
//
//   q = floor(i / d), i < 2^63:   floor(i m / 2^64) with m = floor((2^64 - 1) / d) is q or q - 1
//
// (m = (2^64 - e) / d with 1 <= e <= d, so i m / 2^64 falls short of i / d by i e / (d 2^64) < 1.) A 64-bit division is a
// function call of 70 instructions on a GPU, and the call spills registers. Granlund & Montgomery, "Division by
// invariant integers using multiplication", 1994.
#pragma once

#include <cstdint>

#include "kernels/simt/simt.h"

namespace hinge::kernels::device {

class Divisor {
 public:
  explicit Divisor(std::int64_t divisor) : divisor_(divisor), magic_(~std::uint64_t{0} / static_cast<std::uint64_t>(divisor)) {}

  __device__ std::int64_t quotient(std::int64_t i) const {
    const auto q = static_cast<std::int64_t>(__umul64hi(static_cast<unsigned long long>(i), magic_));
    return i - q * divisor_ >= divisor_ ? q + 1 : q;
  }
  __device__ std::int64_t remainder(std::int64_t i) const { return i - quotient(i) * divisor_; }

 private:
  std::int64_t divisor_;
  std::uint64_t magic_;
};

}  // namespace hinge::kernels::device
