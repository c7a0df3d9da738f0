// Matrix products, row-major.
//
//   C : [m, n] = op(A) op(B) (+ C)      op(A) : [m, k], op(B) : [k, n]
#pragma once

#include <cstdint>

namespace hinge::kernels {

struct GemmShape {
  std::int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false;  // A is stored as [k, m]
  bool transpose_b = false;  // B is stored as [n, k]
  bool accumulate = false;   // add to C instead of overwriting it
};

struct Gemm {
  static constexpr const char* kName = "gemm";
  using Signature = void(const GemmShape&, const float* a, const float* b, float* c);
};

namespace cpu {
void gemm(const GemmShape& shape, const float* a, const float* b, float* c);
}

}  // namespace hinge::kernels
