// One float of each of L images: the widest register the compiler was told of.
#pragma once

#include <cstdint>

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
