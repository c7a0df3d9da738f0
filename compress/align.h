// Counts of groups that the hardware likes: 17 filters in registers of 16 cost what 32 do, so 32 may as well stay.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/budget.h"

namespace hinge::compress {

// rounding[set][count], count from 0 to the set's groups: how many groups are kept where `count` would be. Never fewer, at most
// all, and the larger the count the larger the result.
using Rounding = std::vector<std::vector<std::int64_t>>;

// To the next whole multiple of `channels` channels, at least 1, or to all groups where there is none.
Rounding rounded_to_multiples(const Budget& budget, std::int64_t channels);

// Where a clock sees steps: to the last count before a step, if what lies between costs next to nothing. A step is a group
// that costs more than kStep times what the set's groups cost on average, next to nothing less than kFree of that average.
// Where time is in proportion to channels nothing is rounded. Throws Error without a clock.
inline constexpr double kStep = 2.0, kFree = 0.25;
Rounding rounded_where_free(const Budget& budget);

}  // namespace hinge::compress
