#include "compress/prox_sets.h"

#include <omp.h>

#include <algorithm>
#include <exception>

#include "engine/core/error.h"

namespace hinge::compress {
namespace {

using kernels::GroupView;

// 256 kB: a quarter of a core's second-level cache, so that scaling finds what the norms have read.
constexpr std::int64_t kPieceFloats = 1 << 16;
constexpr std::int64_t kWorthIt = 1 << 14;  // waking a thread takes as long as 16 Ki floats
// Groups that are neighbours in memory are shared where a cache line ends, if the matrix begins with one.
constexpr std::int64_t kLineFloats = 16;

struct Groups {
  std::int64_t begin = 0, end = 0;
};

// Groups that stay together when a set is cut.
std::int64_t unit_of(const SetStep& set) { return set.parts[0].group_stride == 1 ? kLineFloats : 1; }

// Groups of set `s` that thread `thread` of `threads` steps: the same share of every set each time, and about the share that
// the optimiser's step leaves in its core's cache. Where the penalty of a group depends on the others (not separable), one thread takes them all.
Groups share_of(const Regularizer& regularizer, std::span<const SetStep> sets, std::size_t s, int thread, int threads) {
  const std::int64_t groups = sets[s].parts[0].groups, unit = unit_of(sets[s]), units = (groups + unit - 1) / unit;
  if (!regularizer.info().separable) return static_cast<int>(s % static_cast<std::size_t>(threads)) == thread ? Groups{0, groups} : Groups{};
  return {std::min(groups, unit * (units * thread / threads)), std::min(groups, unit * (units * (thread + 1) / threads))};
}

std::int64_t floats_of(const SetStep& set) {
  std::int64_t floats = 0;
  for (const GroupView& part : set.parts) floats += part.groups * part.size;
  return floats;
}

void check(std::span<const SetStep> sets) {
  for (std::size_t s = 0; s < sets.size(); ++s) {
    require(!sets[s].parts.empty(), "proximal step: set {} has no part", s);
    for (const GroupView& part : sets[s].parts) {
      require(part.groups == sets[s].parts[0].groups, "proximal step: one part of set {} has {} groups, another {}; expected equally many", s,
              sets[s].parts[0].groups, part.groups);
    }
  }
}

// In pieces that fit the cache, where groups don't depend on each other.
void step_groups(const Regularizer& regularizer, const SetStep& set, const Groups& groups, float* norms) {
  const std::int64_t unit = unit_of(set), size = floats_of(set) / std::max<std::int64_t>(1, set.parts[0].groups) + 1;
  const std::int64_t most = regularizer.info().separable ? std::max(unit, kPieceFloats / size / unit * unit) : groups.end;
  for (std::int64_t first = groups.begin; first < groups.end; first += most) {
    std::vector<GroupView> parts(set.parts.begin(), set.parts.end());
    for (GroupView& part : parts) part.data += first * part.group_stride, part.groups = std::min(most, groups.end - first);
    std::ranges::copy(regularizer.prox(parts, set.step, Stream()), norms + first);
  }
}

}  // namespace

std::vector<std::vector<float>> prox_sets(const Regularizer& regularizer, std::span<const SetStep> sets) {
  check(sets);
  std::vector<std::vector<float>> norms;
  norms.reserve(sets.size());
  for (const SetStep& set : sets) norms.emplace_back(static_cast<std::size_t>(set.parts[0].groups));
  std::int64_t floats = 0;
  for (const SetStep& set : sets) floats += floats_of(set);
  // No exception may leave OpenMP's region. Of several the one of the first set is thrown behind it, whatever the number of threads.
  std::exception_ptr failure;
  std::size_t failed = sets.size();
#pragma omp parallel if (floats >= kWorthIt)
  {
    std::size_t s = 0;
    try {
      for (; s < sets.size(); ++s) {
        step_groups(regularizer, sets[s], share_of(regularizer, sets, s, omp_get_thread_num(), omp_get_num_threads()), norms[s].data());
      }
    } catch (...) {
#pragma omp critical(hinge_prox_sets)
      if (s < failed) failed = s, failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
  return norms;
}

}  // namespace hinge::compress
