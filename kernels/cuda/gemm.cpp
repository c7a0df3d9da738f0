// Matrix products through cuBLAS. See gemm.h.
//
// cuBLAS counts along columns; a row-major C [m, n] is its column-major C^T [n, m], and C^T = op(B)^T op(A)^T, so the
// operands change places and nothing is transposed in memory.
#include "kernels/gemm.h"

#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "kernels/bfloat16.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/status.h"
#include "kernels/math_mode.h"
#include "kernels/registry.h"

namespace hinge::kernels::cuda {
namespace {

int narrow(std::int64_t extent) {
  if (extent > std::numeric_limits<int>::max()) {
    throw std::runtime_error("gemm: an extent of " + std::to_string(extent) + ", at most 2147483647 can be passed");
  }
  return static_cast<int>(extent);
}

template <class T>
void gemm(const GemmShape& s, const T* a, const T* b, T* c, simt::NativeStream stream) {
  if (s.m == 0 || s.n == 0) return;
  if (s.k == 0) {
    if (!s.accumulate) check(cudaMemsetAsync(c, 0, static_cast<std::size_t>(s.m * s.n) * sizeof(T), stream), "gemm");
    return;
  }
  const float one = 1.0f, beta = s.accumulate ? 1.0f : 0.0f;
  // PEDANTIC forbids every shortcut in precision, and split sums that are added in no fixed order; it would also take
  // bfloat16's tensor cores away.
  constexpr bool kFloat = std::is_same_v<T, float>;
  constexpr cudaDataType kType = kFloat ? CUDA_R_32F : CUDA_R_16BF;
  const cublasComputeType_t compute = kFloat && math_mode().tf32            ? CUBLAS_COMPUTE_32F_FAST_TF32
                                      : kFloat && math_mode().deterministic ? CUBLAS_COMPUTE_32F_PEDANTIC
                                                                            : CUBLAS_COMPUTE_32F;
  check(cublas().gemm(libraries(stream).blas(), s.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N, s.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N,
                      narrow(s.n), narrow(s.m), narrow(s.k), &one, b, kType, narrow(s.transpose_b ? s.k : s.n), a, kType,
                      narrow(s.transpose_a ? s.m : s.k), &beta, c, kType, narrow(s.n), compute, CUBLAS_GEMM_DEFAULT),
        "gemm");
}

const bool registered = register_kernel<Gemm>(Backend::kCuda, &gemm<float>) && register_kernel<GemmOf<Bfloat16>>(Backend::kCuda, &gemm<Bfloat16>);

}  // namespace
}  // namespace hinge::kernels::cuda
