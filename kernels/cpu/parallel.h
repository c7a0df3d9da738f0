// How CPU kernels split work over OpenMP's threads.
//
// Sums are always cut into the same number of parts, added up in order: the result doesn't depend on the number
// of threads, only the speed does.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace hinge::kernels::cpu {

struct Range {
  std::int64_t begin = 0, end = 0;
};

inline constexpr int kSumParts = 32;

// Part `part` of `parts` nearly equal ranges that cover [0, size).
inline Range part_of(std::int64_t size, int part, int parts) {
  return {size * part / parts, size * (part + 1) / parts};
}

// body(range) for ranges that cover [0, size), on all threads where the work is worth it and the caller isn't inside a region
// already (one inside another makes a team of one thread, for which libgomp asks malloc and the kernel each time).
template <class Body>
void parallel_ranges(std::int64_t size, std::int64_t work_per_item, const Body& body) {
  constexpr std::int64_t kWorthIt = 1 << 14;  // about 5 us of arithmetic: what waking a thread costs
  if (size * work_per_item < kWorthIt || omp_get_level() > 0) {
    if (size > 0) body(Range{0, size});
    return;
  }
#pragma omp parallel for schedule(static)
  for (int part = 0; part < kSumParts; ++part) {
    const Range range = part_of(size, part, kSumParts);
    if (range.begin < range.end) body(range);
  }
}

// body(part, range) for exactly kSumParts parts of [0, size), empty ones included.
template <class Body>
void parallel_parts(std::int64_t size, const Body& body) {
#pragma omp parallel for schedule(static)
  for (int part = 0; part < kSumParts; ++part) body(part, part_of(size, part, kSumParts));
}

}  // namespace hinge::kernels::cpu
