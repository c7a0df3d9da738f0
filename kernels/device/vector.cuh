// Sixteen bytes at a time, with what is left over before and after.
//
// A range of floats is a head (up to the first multiple of 16 bytes, 0 to 3 elements), whole vectors, and a tail (0 to
// 3 elements). Memory-bound kernels need the wide accesses: they halve the instructions for the same bytes in flight.
// Sixteen bytes are 4 floats or 8 bfloat16; a kernel's arithmetic is float in any case.
#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/simt/simt.h"

namespace hinge::kernels::device {

inline constexpr int kVectorBytes = 16;
// Elements of one access.
template <class T>
inline constexpr int kVector = kVectorBytes / static_cast<int>(sizeof(T));
inline constexpr int kVectorFloats = kVector<float>;

inline __device__ float4 load_vector(const float* address) {
  simt::check_aligned(address, sizeof(float4));
  return *simt::global(reinterpret_cast<const float4*>(address));
}
inline __device__ void store_vector(float* address, float4 value) {
  simt::check_aligned(address, sizeof(float4));
  *simt::global(reinterpret_cast<float4*>(address)) = value;
}
inline __device__ uint4 load_vector(const Bfloat16* address) {
  simt::check_aligned(address, sizeof(uint4));
  return *simt::global(reinterpret_cast<const uint4*>(address));
}
inline __device__ void store_vector(Bfloat16* address, uint4 value) {
  simt::check_aligned(address, sizeof(uint4));
  *simt::global(reinterpret_cast<uint4*>(address)) = value;
}

inline __device__ float low_half(unsigned pair) { return float_of(static_cast<std::uint16_t>(pair & 0xffffu)); }
inline __device__ float high_half(unsigned pair) { return float_of(static_cast<std::uint16_t>(pair >> 16)); }
// Two in the order of memory.
inline __device__ unsigned pair_of(float first, float second) { return bfloat16_of(first) | static_cast<unsigned>(bfloat16_of(second)) << 16; }

// `kWidth` elements at `address`, aligned to 16 bytes, as floats; or one, at any address.
template <int kWidth>
__device__ void load_elements(const float* address, float (&out)[kWidth]) {
  if constexpr (kWidth == 1) {
    out[0] = *address;
  } else {
    static_assert(kWidth % kVectorFloats == 0);
#pragma unroll
    for (int i = 0; i < kWidth; i += kVectorFloats) {
      const float4 v = load_vector(address + i);
      out[i] = v.x, out[i + 1] = v.y, out[i + 2] = v.z, out[i + 3] = v.w;
    }
  }
}
template <int kWidth>
__device__ void store_elements(float* address, const float (&in)[kWidth]) {
  if constexpr (kWidth == 1) {
    *address = in[0];
  } else {
    static_assert(kWidth % kVectorFloats == 0);
#pragma unroll
    for (int i = 0; i < kWidth; i += kVectorFloats) store_vector(address + i, make_float4(in[i], in[i + 1], in[i + 2], in[i + 3]));
  }
}
template <int kWidth>
__device__ void load_elements(const Bfloat16* address, float (&out)[kWidth]) {
  if constexpr (kWidth == 1) {
    out[0] = static_cast<float>(*address);
  } else {
    static_assert(kWidth == kVector<Bfloat16>);
    const uint4 v = load_vector(address);
    out[0] = low_half(v.x), out[1] = high_half(v.x), out[2] = low_half(v.y), out[3] = high_half(v.y);
    out[4] = low_half(v.z), out[5] = high_half(v.z), out[6] = low_half(v.w), out[7] = high_half(v.w);
  }
}
template <int kWidth>
__device__ void store_elements(Bfloat16* address, const float (&in)[kWidth]) {
  if constexpr (kWidth == 1) {
    *address = Bfloat16(in[0]);
  } else {
    static_assert(kWidth == kVector<Bfloat16>);
    store_vector(address, make_uint4(pair_of(in[0], in[1]), pair_of(in[2], in[3]), pair_of(in[4], in[5]), pair_of(in[6], in[7])));
  }
}

// f(element) for each of the four.
template <class F>
__device__ float4 each(float4 v, F f) {
  return make_float4(f(v.x), f(v.y), f(v.z), f(v.w));
}

SIMT_HOST_DEVICE inline bool is_vector_aligned(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % kVectorBytes == 0;
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

// A number that is a constant wherever it is passed to; std::integral_constant's conversion is the host's alone.
template <int n>
struct Width {
  SIMT_HOST_DEVICE constexpr operator int() const { return n; }
};

// Covers [0, size) with all threads of a 1-D grid: body(i, width) stands for elements i .. i + width - 1, where `width` is a
// constant: kWidth, or 1 at the end and, without `aligned` (some pointer is not at a multiple of 16 bytes), everywhere.
template <int kWidth, class Body>
__device__ void grid_elements(std::int64_t size, bool aligned, Body body) {
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t vectors = aligned ? size / kWidth : 0;
#pragma unroll 4  // accesses of four turns in flight; nvcc's own choice is 4 for one float4 and none for arrays
  for (std::int64_t v = first; v < vectors; v += stride) body(v * kWidth, Width<kWidth>());
  for (std::int64_t i = vectors * kWidth + first; i < size; i += stride) body(i, Width<1>());
}

// A grid for grid_elements: enough threads for every vector, at most what fills a large GPU a few times.
inline constexpr unsigned kElementThreads = 256;
template <class T = float>
simt::LaunchShape element_grid(std::int64_t size) {
  return {simt::blocks_for(size, kElementThreads * kVector<T>, 132 * 16), kElementThreads};
}

}  // namespace hinge::kernels::device
