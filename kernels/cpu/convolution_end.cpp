#include "kernels/convolution_end.h"

#include "kernels/cpu/parallel.h"
#include "kernels/registry.h"

namespace hinge::kernels::cpu {
namespace {

void convolution_end(const ConvolutionEndShape& s, const float* x, const float* bias, const float* z, float* y) {
  parallel_ranges(s.rows, s.c, [=](Range range) {
    for (std::int64_t row = range.begin; row < range.end; ++row) {
      for (std::int64_t j = 0; j < s.c; ++j) {
        const std::int64_t i = row * s.c + j;
        float value = x[i];
        if (bias != nullptr) value += bias[j];
        if (z != nullptr) value += z[i];
        y[i] = clamped(value, s.clamp);
      }
    }
  });
}

const bool registered = register_kernel<ConvolutionEnd>(Backend::kCpu, &convolution_end);

}  // namespace
}  // namespace hinge::kernels::cpu
