#include "kernels/sgd.h"

#include "kernels/cpu/parallel.h"
#include "kernels/registry.h"

namespace hinge::kernels::cpu {
namespace {

void sgd_step(std::int64_t size, const SgdOptions& options, const float* gradient, float* velocity,
              float* weight) {
  parallel_ranges(size, 4, [=](Range range) {
    const SgdOptions own = options;  // a copy that no store can change: its choices leave the loop
#pragma omp simd
    for (std::int64_t i = range.begin; i < range.end; ++i) {
      sgd_update(own, gradient[i], velocity[i], weight[i]);
    }
  });
}

const bool registered = register_kernel<SgdStep>(Backend::kCpu, &sgd_step);

}  // namespace
}  // namespace hinge::kernels::cpu
