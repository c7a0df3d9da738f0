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
// Groups that are neighbours in memory are shared where a cache line ends, if the matrix begins with one.
constexpr std::int64_t kLineFloats = 16;

struct Groups {
  std::int64_t begin = 0, end = 0;
};

// Groups of set `s` that thread `thread` of `threads` steps: the same share of every set each time, and about the share that
// the optimiser's step leaves in its core's cache. Where the penalty of a group depends on the others (not separable), one thread takes them all.
Groups share_of(const Regularizer& regularizer, std::span<const SetStep> sets, std::size_t s, int thread, int threads) {
  const GroupView& part = sets[s].parts[0];
  if (!regularizer.info().separable) return static_cast<int>(s % static_cast<std::size_t>(threads)) == thread ? Groups{0, part.groups} : Groups{};
  const std::int64_t unit = part.group_stride == 1 ? kLineFloats : 1, units = (part.groups + unit - 1) / unit;
  return {std::min(part.groups, unit * (units * thread / threads)), std::min(part.groups, unit * (units * (thread + 1) / threads))};
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
  std::int64_t size = 1;
  for (const GroupView& part : set.parts) size += part.size;
  const std::int64_t most = regularizer.info().separable ? std::max(kLineFloats, kPieceFloats / size) : groups.end;
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
  // No exception may leave OpenMP's region: the first is thrown behind it.
  std::exception_ptr failure;
#pragma omp parallel
  {
    try {
      for (std::size_t s = 0; s < sets.size(); ++s) {
        step_groups(regularizer, sets[s], share_of(regularizer, sets, s, omp_get_thread_num(), omp_get_num_threads()), norms[s].data());
      }
    } catch (...) {
#pragma omp critical(hinge_prox_sets)
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
  return norms;
}

}  // namespace hinge::compress
