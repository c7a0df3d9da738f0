// One float of each of L images: the widest register the compiler was told of.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "kernels/lanes.h"

namespace hinge::kernels::lanes {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16, kAccumulators = 24;  // of 32 registers; the rest hold pixels and a weight
#elif defined(__AVX__)
inline constexpr int kLanes = 8, kAccumulators = 12;  // of 16
#else
inline constexpr int kLanes = 4, kAccumulators = 12;
#endif

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float)), may_alias));
// The same anywhere in memory.
typedef float LooseVector __attribute__((vector_size(kLanes * sizeof(float)), aligned(sizeof(float)), may_alias));

// A difference with 0 is the value itself, also for -0, so compilers leave it out and an operand in memory is broadcast by the
// load; a sum with 0 isn't for -0 and costs an addition and a shuffle in the innermost loop, half of a thin layer's time.
inline Vector broadcast(float value) { return value - Vector{}; }

// The first `count` floats of memory, zeros behind them; nothing behind them is touched. A mask instead of a call of memcpy, which
// thin layers would spend their time in.
inline Vector load_some(const float* from, std::int64_t count) {
  if (count >= kLanes) return *reinterpret_cast<const LooseVector*>(from);
#if defined(__AVX512F__)
  return reinterpret_cast<Vector>(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1u), from));
#else
  Vector v{};
  std::memcpy(&v, from, static_cast<std::size_t>(count) * sizeof(float));
  return v;
#endif
}
inline void store_some(float* to, Vector v, std::int64_t count) {
  if (count >= kLanes) {
    *reinterpret_cast<LooseVector*>(to) = v;
    return;
  }
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1u), reinterpret_cast<__m512>(v));
#else
  std::memcpy(to, &v, static_cast<std::size_t>(count) * sizeof(float));
#endif
}

// The pointer's elements.
template <class Element>
const Element* as(const float* p) {
  return reinterpret_cast<const Element*>(p);
}
template <class Element>
Element* as(float* p) {
  return reinterpret_cast<Element*>(p);
}

// Comparisons with NaN are false, so NaN stays NaN.
inline Vector clamped(Vector x, Clamp clamp) {
  const Vector low = broadcast(clamp.low), high = broadcast(clamp.high);
  x = x < low ? low : x;
  return x > high ? high : x;
}
using kernels::clamped;

// Calls body with an element of the kind that `lanes` says, to learn its type from.
template <class Body>
void with_element(Lanes lanes, const Body& body) {
  if (lanes == Lanes::kImages) {
    body(Vector{});
  } else {
    body(0.0f);
  }
}

}  // namespace hinge::kernels::lanes
