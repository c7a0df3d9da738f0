// Matrix products on oneDNN's sgemm (row-major interface).
#include "kernels/gemm.h"

#include <dnnl.h>

#include <algorithm>
#include <stdexcept>

#include "kernels/registry.h"

namespace hinge::kernels::cpu {

void gemm(const GemmShape& s, const float* a, const float* b, float* c) {
  if (s.m == 0 || s.n == 0) return;
  if (s.k == 0) {
    if (!s.accumulate) std::fill_n(c, s.m * s.n, 0.0f);
    return;
  }
  const std::int64_t lda = s.transpose_a ? s.m : s.k;
  const std::int64_t ldb = s.transpose_b ? s.k : s.n;
  const dnnl_status_t status =
      dnnl_sgemm(s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', s.m, s.n, s.k, 1.0f, a, lda,
                 b, ldb, s.accumulate ? 1.0f : 0.0f, c, s.n);
  if (status != dnnl_success) throw std::runtime_error("gemm: oneDNN refused the product");
}

namespace {
const bool registered = register_kernel<Gemm>(Backend::kCpu, &gemm);
}

}  // namespace hinge::kernels::cpu
