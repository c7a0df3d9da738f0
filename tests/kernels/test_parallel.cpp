#include "kernels/cpu/parallel.h"

#include <omp.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "tests/support/catch.h"

using namespace hinge::kernels::cpu;

TEST_CASE("ranges cover every item once, in pieces where there is work for several threads") {
  for (const std::int64_t size : {0, 1, 31, 32, 33, 1000, 100000}) {
    for (const std::int64_t work : {1, 1000}) {
      INFO(size << " items of " << work);
      std::vector<int> seen(static_cast<std::size_t>(size), 0);
      int ranges = 0;
      parallel_ranges(size, work, [&](Range range) {
        for (std::int64_t i = range.begin; i < range.end; ++i) ++seen[static_cast<std::size_t>(i)];
#pragma omp atomic
        ++ranges;
      });
      CHECK(std::accumulate(seen.begin(), seen.end(), 0) == size);
      CHECK((size == 0 || *std::max_element(seen.begin(), seen.end()) == 1));
      CHECK(ranges == (size * work < 1 << 14 ? (size > 0 ? 1 : 0) : std::min<std::int64_t>(size, kSumParts)));
    }
  }
}

TEST_CASE("inside a region of OpenMP's, a team of one too, each caller gets all of its items in one range") {
  for (const int threads : {1, 2, 5}) {
    std::vector<Range> ranges(static_cast<std::size_t>(threads));
    std::vector<int> calls(static_cast<std::size_t>(threads), 0);
    int team = 0;
#pragma omp parallel num_threads(threads)
    {
      const auto thread = static_cast<std::size_t>(omp_get_thread_num());
#pragma omp single
      team = omp_get_num_threads();
      parallel_ranges(1 << 20, 8, [&](Range range) { ranges[thread] = range, ++calls[thread]; });
    }
    INFO(threads << " threads, a team of " << team);
    for (std::size_t thread = 0; thread < static_cast<std::size_t>(team); ++thread) {
      CHECK(calls[thread] == 1);
      CHECK(ranges[thread].begin == 0);
      CHECK(ranges[thread].end == 1 << 20);
    }
  }
}
