// Matrix products, row-major.
//
//   C : [m, n] = op(A) op(B) (+ C)      op(A) : [m, k], op(B) : [k, n]
//
// T is what the matrices lie in memory as: float, or on a GPU Bfloat16, whose products are added up as floats.
#pragma once

#include <cstdint>

namespace hinge::kernels {

struct GemmShape {
  std::int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false;  // A is stored as [k, m]
  bool transpose_b = false;  // B is stored as [n, k]
  bool accumulate = false;   // add to C instead of overwriting it
};

template <class T>
struct GemmOf {
  static constexpr const char* kName = "gemm";
  using Signature = void(const GemmShape&, const T* a, const T* b, T* c);
};
using Gemm = GemmOf<float>;

namespace cpu {
// While oneDNN multiplies more than 2048 deep its stack register points into memory from malloc: a signal's handler would write over
// what lies in front of it, unless it has a stack of its own (docs/decisions/0025).
void gemm(const GemmShape& shape, const float* a, const float* b, float* c);
}  // namespace cpu

}  // namespace hinge::kernels
