// As the formula says. Inference on the CPU has pairs of its own (kernels/lanes.h); this is what CUDA's are compared with.
#include "kernels/low_rank_pair.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/registry.h"

namespace hinge::kernels::cpu {
namespace {

// t[m] of the pixel (n, p, q), without its bias.
float thin_sum(const ConvShape& s, const float* x, const float* filter, std::int64_t n, std::int64_t p, std::int64_t q) {
  float sum = 0.0f;
  for (std::int64_t r = 0; r < s.r; ++r) {
    for (std::int64_t t = 0; t < s.s; ++t) {
      const std::int64_t h = p * s.stride - s.padding + r, w = q * s.stride - s.padding + t;
      if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
      const float *weights = filter + (r * s.s + t) * s.c, *pixel = x + ((n * s.h + h) * s.w + w) * s.c;
#pragma omp simd reduction(+ \
                           : sum)
      for (std::int64_t c = 0; c < s.c; ++c) sum += weights[c] * pixel[c];
    }
  }
  return sum;
}

void low_rank_pair(const LowRankPairShape& shape, const LowRankPairOperands& o, float* y) {
  if (!can_fuse(shape)) throw std::invalid_argument("low-rank pair: can't fuse " + shape.thin.to_string());
  const ConvShape& s = shape.thin;
  parallel_ranges(shape.pixels(), shape.macs() / std::max<std::int64_t>(1, shape.pixels()), [&](Range range) {
    std::vector<float> between(static_cast<std::size_t>(s.k));
    for (std::int64_t pixel = range.begin; pixel < range.end; ++pixel) {
      const std::int64_t q = pixel % s.q(), p = pixel / s.q() % s.p(), n = pixel / s.q() / s.p();
      for (std::int64_t m = 0; m < s.k; ++m) {
        const float sum = thin_sum(s, o.x, o.u + m * s.r * s.s * s.c, n, p, q);
        between[static_cast<std::size_t>(m)] = clamped(o.b != nullptr ? sum + o.b[m] : sum, shape.inner);
      }
      for (std::int64_t k = 0; k < shape.k; ++k) {
        float sum = 0.0f;
        for (std::int64_t m = 0; m < s.k; ++m) sum += o.v[k * s.k + m] * between[static_cast<std::size_t>(m)];
        if (o.d != nullptr) sum += o.d[k];
        if (o.z != nullptr) sum += o.z[pixel * shape.k + k];
        y[pixel * shape.k + k] = clamped(sum, shape.outer);
      }
    }
  });
}

const bool registered = register_kernel<LowRankPair>(Backend::kCpu, &low_rank_pair);

}  // namespace
}  // namespace hinge::kernels::cpu
