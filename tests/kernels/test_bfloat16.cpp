// Rounding to bfloat16, against every neighbour.
#include <cmath>
#include <limits>

#include "kernels/bfloat16.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"

using namespace hinge;
using namespace hinge::testing;

TEST_CASE("bfloat16 is the nearest of its numbers, the even one of two") {
  const Tensor numbers = random_tensor({5000}, 9);
  for (std::int64_t i = 0; i < numbers.size(); ++i) {
    // Of all magnitudes: 2^-100 to 2^100.
    const float x = std::ldexp(numbers.data()[i], static_cast<int>(i % 201) - 100);
    const std::uint16_t y = bfloat16_of(x);
    const auto distance = [&](std::uint16_t other) { return std::fabs(static_cast<double>(float_of(other)) - static_cast<double>(x)); };
    CHECK(distance(y) <= std::exp2(-8.0) * std::fabs(static_cast<double>(x)));
    for (const int step : {-1, 1}) {
      const auto neighbour = static_cast<std::uint16_t>(y + step);
      CHECK((distance(y) < distance(neighbour) || (distance(y) == distance(neighbour) && y % 2 == 0)));
    }
  }
  // 1 + 2^-8 lies in the middle of 1 and 1 + 2^-7, 1 + 3 2^-8 in the middle of 1 + 2^-7 and 1 + 2^-6.
  CHECK(float_of(bfloat16_of(1.0f + 0x1p-8f)) == 1.0f);
  CHECK(float_of(bfloat16_of(1.0f + 3 * 0x1p-8f)) == 1.0f + 0x1p-6f);
}

TEST_CASE("every bfloat16 comes back as itself, and what isn't a number stays what it is") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto y = static_cast<std::uint16_t>(bits);
    if (std::isnan(float_of(y))) {
      if (!std::isnan(float_of(bfloat16_of(float_of(y))))) FAIL("NaN " << bits);
    } else if (bfloat16_of(float_of(y)) != y) {
      FAIL("bits " << bits);
    }
  }
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(float_of(bfloat16_of(infinity)) == infinity);
  CHECK(float_of(bfloat16_of(-infinity)) == -infinity);
  CHECK(float_of(bfloat16_of(std::numeric_limits<float>::max())) == infinity);  // nearer than the largest bfloat16
  // A NaN of which only lower bits are set.
  const std::uint32_t bits = 0x7f800001u;
  float nan;
  std::memcpy(&nan, &bits, sizeof nan);
  CHECK(std::isnan(float_of(bfloat16_of(nan))));
  CHECK(std::signbit(float_of(bfloat16_of(-0.0f))));
}
