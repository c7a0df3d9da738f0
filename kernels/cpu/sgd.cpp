#include "kernels/sgd.h"

#include "kernels/cpu/parallel.h"
#include "kernels/registry.h"

namespace hinge::kernels::cpu {
namespace {

void sgd_step(std::int64_t size, const SgdOptions& options, const float* gradient, float* velocity,
              float* weight) {
  const float coupled = options.decoupled ? 0.0f : options.decay;
  const float keep = options.decoupled ? 1.0f - options.rate * options.decay : 1.0f;
  const float ahead = options.nesterov ? 1.0f : 0.0f;
  parallel_ranges(size, 4, [=](Range range) {
#pragma omp simd
    for (std::int64_t i = range.begin; i < range.end; ++i) {
      const float direction = gradient[i] + coupled * weight[i];
      const float v = options.momentum * velocity[i] + direction;
      velocity[i] = v;
      const float step = ahead * direction + (options.nesterov ? options.momentum : 1.0f) * v;
      weight[i] = keep * weight[i] - options.rate * step;
    }
  });
}

const bool registered = register_kernel<SgdStep>(Backend::kCpu, &sgd_step);

}  // namespace
}  // namespace hinge::kernels::cpu
