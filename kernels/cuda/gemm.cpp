// Matrix products through cuBLAS. See gemm.h.
//
// cuBLAS counts along columns; a row-major C [m, n] is its column-major C^T [n, m], and C^T = op(B)^T op(A)^T, so the
// operands change places and nothing is transposed in memory.
#include "kernels/gemm.h"

#include <limits>
#include <stdexcept>
#include <string>

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

void gemm(const GemmShape& s, const float* a, const float* b, float* c, simt::NativeStream stream) {
  if (s.m == 0 || s.n == 0) return;
  if (s.k == 0) {
    if (!s.accumulate) check(cudaMemsetAsync(c, 0, static_cast<std::size_t>(s.m * s.n) * sizeof(float), stream), "gemm");
    return;
  }
  const float one = 1.0f, beta = s.accumulate ? 1.0f : 0.0f;
  // PEDANTIC forbids every shortcut in precision, and split sums that are added in no fixed order.
  const cublasComputeType_t compute = math_mode().tf32            ? CUBLAS_COMPUTE_32F_FAST_TF32
                                      : math_mode().deterministic ? CUBLAS_COMPUTE_32F_PEDANTIC
                                                                  : CUBLAS_COMPUTE_32F;
  check(cublas().gemm(libraries(stream).blas(), s.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N, s.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N,
                      narrow(s.n), narrow(s.m), narrow(s.k), &one, b, CUDA_R_32F, narrow(s.transpose_b ? s.k : s.n), a, CUDA_R_32F,
                      narrow(s.transpose_a ? s.m : s.k), &beta, c, CUDA_R_32F, narrow(s.n), compute, CUBLAS_GEMM_DEFAULT),
        "gemm");
}

const bool registered = register_kernel<Gemm>(Backend::kCuda, &gemm);

}  // namespace
}  // namespace hinge::kernels::cuda
