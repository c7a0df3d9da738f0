// CUDA's language for a host compiler: the words a kernel uses, each handed on to the emulator.
//
// Where a call stands in the source is taken along as a default argument, so that a report of a divergent barrier names
// both places.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>
#include <tuple>
#include <type_traits>

#include "kernels/simt/emulated_atomics.h"
#include "kernels/simt/emulated_device.h"
#include "kernels/simt/emulated_vectors.h"
#include "kernels/simt/emulator.h"
#include "kernels/simt/native_stream.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

// A static array of the block. The tag's address is different for every declaration and template instance.
#define SIMT_SHARED(type, name, extents)            \
  static const char name##_tag = 0;                 \
  using name##_array = type extents;                \
  name##_array& name = *static_cast<name##_array*>( \
      ::simt::emulator::static_shared(&name##_tag, sizeof(name##_array)))

#define SIMT_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

// Written by the scheduler before it resumes a thread.
inline thread_local uint3 threadIdx, blockIdx, blockDim, gridDim;

inline void __syncthreads(SIMT_PLACE) {
  simt::emulator::block_barrier(simt::emulator::Vote::kNone, false, {file, line});
}
inline int __syncthreads_count(int predicate, SIMT_PLACE) {
  return simt::emulator::block_barrier(simt::emulator::Vote::kCount, predicate != 0, {file, line});
}
inline int __syncthreads_and(int predicate, SIMT_PLACE) {
  return simt::emulator::block_barrier(simt::emulator::Vote::kAnd, predicate != 0, {file, line});
}
inline int __syncthreads_or(int predicate, SIMT_PLACE) {
  return simt::emulator::block_barrier(simt::emulator::Vote::kOr, predicate != 0, {file, line});
}
inline void __threadfence() { simt::emulator::maybe_yield(); }
inline void __threadfence_block() { simt::emulator::maybe_yield(); }
inline void __trap() { simt::emulator::fault("__trap()"); }

namespace simt {

inline void grid_barrier(SIMT_PLACE) { emulator::grid_barrier({file, line}); }

// The block's dynamic shared memory, seen as T.
template <class T>
T* shared_memory() {
  return static_cast<T*>(emulator::dynamic_shared());
}

// A vector access must lie at a multiple of its size.
inline void check_aligned(const void* address, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0) {
    emulator::fault("misaligned access of " + std::to_string(bytes) + " bytes");
  }
}

// For nvcc: a pointer to global memory. The emulator has one kind of memory.
template <class T>
T* global(T* pointer) {
  return pointer;
}

template <class... Params>
int resident_blocks(void (*)(Params...), unsigned, std::size_t = 0) {
  return emulator::kResidentBlocks;
}

template <class... Params, class... Args>
void launch(const char* name, const LaunchShape& shape, NativeStream stream, void (*kernel)(Params...),
            Args&&... args) {
  // Parameters are kept by value, as CUDA keeps them: a recorded launch runs after this function has returned.
  auto launched = [=, values = std::tuple<Params...>(static_cast<Params>(args)...)] {
    auto call = [&] { std::apply(kernel, values); };
    emulator::run(
        name, shape, [](void* c) { (*static_cast<decltype(call)*>(c))(); }, &call);
  };
  if (emulator::is_capturing()) {
    emulator::record(name, stream, launched);
  } else {
    launched();
  }
}

namespace emulator {

inline unsigned lane() {
  return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % kWarpSize;
}

template <class T>
T shuffle(unsigned mask, T value, unsigned source, Place place) {
  static_assert(std::is_arithmetic_v<T>, "CUDA shuffles numbers only");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = warp_operation(WarpOp::kShuffle, mask, bits, source, false, place);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <class T>
T reduce(WarpOp op, unsigned mask, T value, Place place) {
  static_assert(sizeof(T) == 4 && std::is_integral_v<T>);
  return static_cast<T>(warp_operation(op, mask, static_cast<std::uint32_t>(value), 0, std::is_signed_v<T>, place));
}

}  // namespace emulator
}  // namespace simt

inline void __syncwarp(unsigned mask = simt::kFullWarp, SIMT_PLACE) {
  simt::emulator::warp_operation(simt::emulator::WarpOp::kSync, mask, 0, 0, false, {file, line});
}
inline unsigned __activemask() { return simt::emulator::live_lanes(); }

// `width` (a power of two) cuts the warp into sections; a lane outside its section reads its own value, or wraps (idx).
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, SIMT_PLACE) {
  const unsigned lane = simt::emulator::lane(), w = static_cast<unsigned>(width);
  return simt::emulator::shuffle(mask, value, lane / w * w + static_cast<unsigned>(source) % w, {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_PLACE) {
  const unsigned lane = simt::emulator::lane(), w = static_cast<unsigned>(width);
  return simt::emulator::shuffle(mask, value, lane % w >= delta ? lane - delta : lane, {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_PLACE) {
  const unsigned lane = simt::emulator::lane(), w = static_cast<unsigned>(width);
  return simt::emulator::shuffle(mask, value, lane % w + delta < w ? lane + delta : lane, {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, SIMT_PLACE) {
  const unsigned lane = simt::emulator::lane(), w = static_cast<unsigned>(width);
  const unsigned source = lane ^ static_cast<unsigned>(lane_mask);
  return simt::emulator::shuffle(mask, value, source / w <= lane / w ? source : lane, {file, line});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, SIMT_PLACE) {
  return static_cast<unsigned>(simt::emulator::warp_operation(simt::emulator::WarpOp::kBallot, mask, predicate != 0,
                                                              0, false, {file, line}));
}
inline int __any_sync(unsigned mask, int predicate, SIMT_PLACE) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, SIMT_PLACE) {
  return __ballot_sync(mask, predicate == 0, file, line) == 0;
}
template <class T>
T __reduce_add_sync(unsigned mask, T value, SIMT_PLACE) {
  return simt::emulator::reduce(simt::emulator::WarpOp::kAdd, mask, value, {file, line});
}
template <class T>
T __reduce_min_sync(unsigned mask, T value, SIMT_PLACE) {
  return simt::emulator::reduce(simt::emulator::WarpOp::kMin, mask, value, {file, line});
}
template <class T>
T __reduce_max_sync(unsigned mask, T value, SIMT_PLACE) {
  return simt::emulator::reduce(simt::emulator::WarpOp::kMax, mask, value, {file, line});
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, SIMT_PLACE) {
  return simt::emulator::reduce(simt::emulator::WarpOp::kAnd, mask, value, {file, line});
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, SIMT_PLACE) {
  return simt::emulator::reduce(simt::emulator::WarpOp::kOr, mask, value, {file, line});
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value, SIMT_PLACE) {
  return simt::emulator::reduce(simt::emulator::WarpOp::kXor, mask, value, {file, line});
}

#undef SIMT_PLACE

template <class T>
T __ldg(const T* address) {
  simt::check_aligned(address, alignof(T));
  return *address;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(unsigned x) { return __builtin_ffs(static_cast<int>(x)); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

template <class A, class B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  return a < b ? a : b;
}
template <class A, class B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  return a > b ? a : b;
}
