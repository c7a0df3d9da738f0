// Sixteen bytes at a time, with what is left over before and after.
//
// A range of floats is a head (up to the first multiple of 16 bytes, 0 to 3 elements), whole vectors, and a tail (0 to
// 3 elements). Memory-bound kernels need the wide accesses: they halve the instructions for the same bytes in flight.
#pragma once

#include <cstdint>

#include "kernels/simt/simt.h"

namespace hinge::kernels::device {

inline constexpr int kVectorFloats = 4;

inline __device__ float4 load_vector(const float* address) {
  simt::check_aligned(address, sizeof(float4));
  return *simt::global(reinterpret_cast<const float4*>(address));
}
inline __device__ void store_vector(float* address, float4 value) {
  simt::check_aligned(address, sizeof(float4));
  *simt::global(reinterpret_cast<float4*>(address)) = value;
}

// f(element) for each of the four.
template <class F>
__device__ float4 each(float4 v, F f) {
  return make_float4(f(v.x), f(v.y), f(v.z), f(v.w));
}
template <class F>
__device__ float4 each(float4 a, float4 b, F f) {
  return make_float4(f(a.x, b.x), f(a.y, b.y), f(a.z, b.z), f(a.w, b.w));
}

SIMT_HOST_DEVICE inline bool is_vector_aligned(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % sizeof(float) == 0 &&
         reinterpret_cast<std::uintptr_t>(address) % (kVectorFloats * sizeof(float)) == 0;
}
// Null, an absent operand, is aligned.
template <class... Pointers>
SIMT_HOST_DEVICE bool all_vector_aligned(Pointers... pointers) {
  return (is_vector_aligned(pointers) && ...);
}

// Elements before the first multiple of 16 bytes, at most `size`.
inline __device__ std::int64_t head_of(const float* data, std::int64_t size) {
  const auto past = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(data) / sizeof(float) % kVectorFloats);
  const std::int64_t head = (kVectorFloats - past) % kVectorFloats;
  return head < size ? head : size;
}

// Covers [0, size) with all threads of a 1-D grid: vector(i) stands for elements i .. i+3, single(i) for one. Without
// `aligned` (some pointer is not at a multiple of 16 bytes) every element is a single one.
template <class Vector, class Single>
__device__ void grid_elements(std::int64_t size, bool aligned, Vector vector, Single single) {
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t vectors = aligned ? size / kVectorFloats : 0;
  for (std::int64_t v = first; v < vectors; v += stride) vector(v * kVectorFloats);
  for (std::int64_t i = vectors * kVectorFloats + first; i < size; i += stride) single(i);
}

// A grid for grid_elements: enough threads for every vector, at most what fills a large GPU a few times.
inline constexpr unsigned kElementThreads = 256;
inline simt::LaunchShape element_grid(std::int64_t size) {
  return {simt::blocks_for(size, kElementThreads * kVectorFloats, 132 * 16), kElementThreads};
}

}  // namespace hinge::kernels::device
