// A block's walk over the groups of one task: the sum of squares of each, then its scale.
//
//   scale_g = rule(sum_j w[g,j]^2, g, leader)        w[g,:] <- scale_g w[g,:]
//
// `rule` is called by the lane (kLane) or by all lanes of a warp (kWarp), or by thread 0 (kBlock); exactly one caller per
// group has leader = true. A scale of 1 writes nothing, a scale of 0 writes zeros even over infinities, as on the CPU.
// `elements` says what a weight is when it is first read: itself, or itself after a step of SGD.
//
// kLane: 32 neighbouring groups are 128 contiguous bytes, read by one warp at a time. kWarp, kBlock: a contiguous group of
// at most 32 floats per thread stays in registers between the sum and the scaling, so memory is read once.
#pragma once

#include "kernels/device/reduce.cuh"
#include "kernels/device/vector.cuh"
#include "kernels/group_table.h"
#include "kernels/sgd.h"

namespace hinge::kernels::device {

inline constexpr unsigned kGroupThreads = 256;
inline constexpr int kHeldVectors = 8;

// A weight is what it is.
struct StoredWeights {
  static constexpr bool kChanges = false;
  __device__ bool vectors(const GroupPart&) const { return true; }  // heads and tails see to alignment
  __device__ float load(const GroupPart& part, std::int64_t i) const { return part.data[i]; }
  __device__ float4 load4(const GroupPart& part, std::int64_t i) const { return load_vector(part.data + i); }
};

// A weight is itself after the step of SGD, which also moves the velocity.
struct SgdWeights {
  static constexpr bool kChanges = true;
  const SgdOptions* options;
  // Gradient and velocity lie at the data's offset from a multiple of 16 bytes.
  __device__ bool vectors(const GroupPart& part) const {
    return reinterpret_cast<std::uintptr_t>(part.data) % 16 == reinterpret_cast<std::uintptr_t>(part.gradient) % 16 &&
           reinterpret_cast<std::uintptr_t>(part.data) % 16 == reinterpret_cast<std::uintptr_t>(part.velocity) % 16;
  }
  __device__ float load(const GroupPart& part, std::int64_t i) const {
    float weight = part.data[i];
    sgd_update(options[part.parameter], part.gradient[i], part.velocity[i], weight);
    return weight;
  }
  __device__ float4 load4(const GroupPart& part, std::int64_t i) const {
    const SgdOptions own = options[part.parameter];
    float4 w = load_vector(part.data + i), v = load_vector(part.velocity + i);
    const float4 g = load_vector(part.gradient + i);
    sgd_update(own, g.x, v.x, w.x);
    sgd_update(own, g.y, v.y, w.y);
    sgd_update(own, g.z, v.z, w.z);
    sgd_update(own, g.w, v.w, w.w);
    store_vector(part.velocity + i, v);
    return w;
  }
};

inline __device__ float scaled(float scale, float value) { return scale == 0.0f ? 0.0f : scale * value; }
inline __device__ float4 scaled(float scale, float4 value) {
  return each(value, [=](float v) { return scaled(scale, v); });
}
inline __device__ double square(float value) { return static_cast<double>(value) * static_cast<double>(value); }
inline __device__ double square(float4 v) { return square(v.x) + square(v.y) + (square(v.z) + square(v.w)); }

inline __device__ bool is_contiguous(const GroupPart& part) {
  return (part.element_stride == 1 && part.run == 1) || part.run >= part.size;
}
inline __device__ const GroupPart& part_of(const GroupTask& task, const GroupPart* parts, int p) {
  return p == 0 ? task.part : parts[task.first_part + p];
}

// A contiguous group as a team of `team` threads sees it: single elements at both ends, vectors between.
struct Span {
  std::int64_t begin, head, vectors, singles;

  __device__ Span(const GroupPart& part, std::int64_t group, bool wide) {
    begin = group * part.group_stride;
    head = wide ? head_of(part.data + begin, part.size) : part.size;
    vectors = (part.size - head) / kVectorFloats;
    singles = part.size - vectors * kVectorFloats;
  }
  __device__ std::int64_t single(std::int64_t i) const { return begin + (i < head ? i : i + vectors * kVectorFloats); }
  __device__ std::int64_t vector(std::int64_t v) const { return begin + head + v * kVectorFloats; }
};

// single(i) and vector(i) for the elements of one group that fall to thread `rank` of `team`.
template <class Single, class Vector>
__device__ void visit(const GroupPart& part, std::int64_t group, bool wide, unsigned rank, unsigned team, Single single,
                      Vector vector) {
  if (is_contiguous(part)) {
    const Span span(part, group, wide);
    for (std::int64_t i = rank; i < span.singles; i += team) single(span.single(i));
    for (std::int64_t v = rank; v < span.vectors; v += team) vector(span.vector(v));
  } else {
    const std::int64_t begin = group * part.group_stride;
    for (std::int64_t j = rank; j < part.size; j += team) {
      single(begin + j / part.run * part.element_stride + j % part.run);
    }
  }
}

template <bool kWholeBlock, class Rule>
__device__ float team_scale(double squares, std::int64_t group, unsigned rank, Rule& rule) {
  if constexpr (kWholeBlock) {
    if constexpr (Rule::kNeedsNorm) squares = block_sum(squares);
    return block_broadcast(rank == 0 ? rule(squares, group, true) : 0.0f);
  } else {
    if constexpr (Rule::kNeedsNorm) squares = warp_sum(squares);
    return rule(squares, group, rank == 0);
  }
}

// One group in one part that fits into the team's registers: read once, written once.
template <bool kWholeBlock, class Elements, class Rule>
__device__ void held_group(const GroupPart& part, std::int64_t group, unsigned rank, unsigned team,
                           const Elements& elements, Rule& rule) {
  const Span span(part, group, true);
  float4 held[kHeldVectors];
  float edge = 0.0f;
  double squares = 0.0;
#pragma unroll
  for (int k = 0; k < kHeldVectors; ++k) {
    const std::int64_t v = rank + static_cast<std::int64_t>(k) * team;
    if (v < span.vectors) held[k] = elements.load4(part, span.vector(v));
  }
  if (rank < span.singles) edge = elements.load(part, span.single(rank)), squares = square(edge);
#pragma unroll
  for (int k = 0; k < kHeldVectors; ++k) {
    if (rank + static_cast<std::int64_t>(k) * team < span.vectors) squares += square(held[k]);
  }
  const float scale = team_scale<kWholeBlock>(squares, group, rank, rule);
  if (scale == 1.0f && !Elements::kChanges) return;
#pragma unroll
  for (int k = 0; k < kHeldVectors; ++k) {
    const std::int64_t v = rank + static_cast<std::int64_t>(k) * team;
    if (v < span.vectors) store_vector(part.data + span.vector(v), scaled(scale, held[k]));
  }
  if (rank < span.singles) part.data[span.single(rank)] = scaled(scale, edge);
}

// One group of any form: read twice, the second time mostly from cache.
template <bool kWholeBlock, class Elements, class Rule>
__device__ void any_group(const GroupTask& task, const GroupPart* parts, std::int64_t group, unsigned rank,
                          unsigned team, const Elements& elements, Rule& rule) {
  double squares = 0.0;
  for (int p = 0; Rule::kNeedsNorm && p < task.parts; ++p) {
    const GroupPart part = part_of(task, parts, p);
    visit(
        part, group, elements.vectors(part), rank, team,
        [&](std::int64_t i) {
          const float w = elements.load(part, i);
          if constexpr (Elements::kChanges) part.data[i] = w;
          squares += square(w);
        },
        [&](std::int64_t i) {
          const float4 w = elements.load4(part, i);
          if constexpr (Elements::kChanges) store_vector(part.data + i, w);
          squares += square(w);
        });
  }
  const float scale = team_scale<kWholeBlock>(squares, group, rank, rule);
  if (scale == 1.0f) return;
  for (int p = 0; p < task.parts; ++p) {
    const GroupPart part = part_of(task, parts, p);
    visit(
        part, group, elements.vectors(part), rank, team,  // the same division: each thread rereads what it wrote
        [&](std::int64_t i) { part.data[i] = scaled(scale, part.data[i]); },
        [&](std::int64_t i) { store_vector(part.data + i, scaled(scale, load_vector(part.data + i))); });
  }
}

template <bool kWholeBlock, class Elements, class Rule>
__device__ void team_groups(const GroupTask& task, const GroupPart* parts, const Elements& elements, Rule& rule) {
  const unsigned team = kWholeBlock ? kGroupThreads : simt::kWarpSize;
  const unsigned rank = threadIdx.x % team, first = threadIdx.x / team;
  const bool fits = Rule::kNeedsNorm && task.parts == 1 && is_contiguous(task.part) && elements.vectors(task.part) &&
                    task.part.size <= static_cast<std::int64_t>(team) * kVectorFloats * kHeldVectors;
  for (std::int64_t g = first; g < task.groups; g += kGroupThreads / team) {
    if (fits) {
      held_group<kWholeBlock>(task.part, task.first_group + g, rank, team, elements, rule);
    } else {
      any_group<kWholeBlock>(task, parts, task.first_group + g, rank, team, elements, rule);
    }
  }
}

template <class Elements, class Rule>
__device__ void lane_groups(const GroupTask& task, const GroupPart* parts, const Elements& elements, Rule& rule) {
  constexpr unsigned kWarps = kGroupThreads / simt::kWarpSize;
  SIMT_SHARED(double, partial, [kWarps][simt::kWarpSize]);
  SIMT_SHARED(float, scales, [simt::kWarpSize]);
  const unsigned lane = threadIdx.x % simt::kWarpSize, warp = threadIdx.x / simt::kWarpSize;
  for (std::int64_t base = 0; base < task.groups; base += simt::kWarpSize) {
    const bool mine = base + lane < task.groups;
    const std::int64_t group = task.first_group + base + lane;
    double squares = 0.0;
    for (int p = 0; Rule::kNeedsNorm && mine && p < task.parts; ++p) {
      const GroupPart part = part_of(task, parts, p);
#pragma unroll 4
      for (std::int64_t j = warp; j < part.size; j += kWarps) {
        const std::int64_t i = group + j * part.element_stride;
        const float w = elements.load(part, i);
        if constexpr (Elements::kChanges) part.data[i] = w;
        squares += square(w);
      }
    }
    partial[warp][lane] = squares;
    __syncthreads();
    if (warp == 0 && mine) {
      for (unsigned w = 1; w < kWarps; ++w) squares += partial[w][lane];
      scales[lane] = rule(squares, group, true);
    }
    __syncthreads();
    const float scale = mine ? scales[lane] : 1.0f;
    for (int p = 0; scale != 1.0f && p < task.parts; ++p) {
      const GroupPart part = part_of(task, parts, p);
#pragma unroll 4
      for (std::int64_t j = warp; j < part.size; j += kWarps) {
        float& w = part.data[group + j * part.element_stride];
        w = scaled(scale, w);
      }
    }
  }
}

// The whole task, by a 1-D block of kGroupThreads threads.
template <class Elements, class Rule>
__device__ void for_groups(const GroupTask& task, const GroupPart* parts, const Elements& elements, Rule& rule) {
  switch (task.mapping) {
    case GroupMapping::kLane: lane_groups(task, parts, elements, rule); break;
    case GroupMapping::kWarp: team_groups<false>(task, parts, elements, rule); break;
    case GroupMapping::kBlock: team_groups<true>(task, parts, elements, rule); break;
  }
}

}  // namespace hinge::kernels::device
