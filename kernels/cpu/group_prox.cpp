#include "kernels/group_prox.h"

#include <cmath>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/registry.h"

namespace hinge::kernels::cpu {
namespace {

// Of elements that lie together, in double. So many sums side by side that neither an addition's latency nor its order binds
// the compiler: 32 fill four registers of AVX-512.
double sum_of_squares(const float* x, std::int64_t size) {
  constexpr std::int64_t kLanes = 32;
  double sums[kLanes] = {};
  std::int64_t j = 0;
  for (; j + kLanes <= size; j += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      const auto value = static_cast<double>(x[j + lane]);
      sums[lane] += value * value;
    }
  }
  for (std::int64_t lane = 0; j < size; ++j, ++lane) sums[lane] += static_cast<double>(x[j]) * static_cast<double>(x[j]);
  // Halves on each other: five additions behind one another, where 32 would take as long as 400 elements.
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::int64_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  }
  return sums[0];
}

// Groups of stride 1 are columns: they are read along memory, all of a range at once.
void group_norms(const GroupView& w, float* norms) {
  if (w.element_stride == 1) {
    parallel_ranges(w.groups, w.size, [&](Range range) {
      for (std::int64_t g = range.begin; g < range.end; ++g) norms[g] = static_cast<float>(std::sqrt(sum_of_squares(w.data + g * w.group_stride, w.size)));
    });
    return;
  }
  parallel_ranges(w.groups, w.size, [&](Range range) {
    const std::int64_t count = range.end - range.begin;
    std::vector<double> squares(static_cast<std::size_t>(count), 0.0);
    for (std::int64_t j = 0; j < w.size; ++j) {
      const float* row = w.data + j * w.element_stride + range.begin * w.group_stride;
      const auto add = [&](std::int64_t stride) {
        for (std::int64_t g = 0; g < count; ++g) {
          const auto value = static_cast<double>(row[g * stride]);
          squares[static_cast<std::size_t>(g)] += value * value;
        }
      };
      w.group_stride == 1 ? add(1) : add(w.group_stride);  // the first is a loop over neighbours
    }
    for (std::int64_t g = 0; g < count; ++g) norms[range.begin + g] = static_cast<float>(std::sqrt(squares[static_cast<std::size_t>(g)]));
  });
}

// 1 changes no bit (not even of what arithmetic flushes to zero), 0 writes zeros over whatever was there.
float scaled(float scale, float value) { return scale == 0.0f ? 0.0f : scale == 1.0f ? value
                                                                                     : scale * value; }

void group_scale(const GroupView& w, const float* scales) {
  if (w.group_stride == 1 && w.element_stride != 1) {
    parallel_ranges(w.groups, w.size, [&](Range range) {
      for (std::int64_t j = 0; j < w.size; ++j) {
        float* row = w.data + j * w.element_stride;
        for (std::int64_t g = range.begin; g < range.end; ++g) row[g] = scaled(scales[g], row[g]);
      }
    });
    return;
  }
  parallel_ranges(w.groups, w.size, [&](Range range) {
    for (std::int64_t g = range.begin; g < range.end; ++g) {
      const float scale = scales[g];
      float* group = w.data + g * w.group_stride;
      if (scale == 1.0f) continue;
      if (w.element_stride != 1) {
        for (std::int64_t j = 0; j < w.size; ++j) group[j * w.element_stride] = scaled(scale, group[j * w.element_stride]);
      } else if (scale == 0.0f) {
        std::fill_n(group, w.size, 0.0f);
      } else {
        for (std::int64_t j = 0; j < w.size; ++j) group[j] *= scale;
      }
    }
  });
}

const bool registered = register_kernel<GroupNorms>(Backend::kCpu, &group_norms) &&
                        register_kernel<GroupScale>(Backend::kCpu, &group_scale);

}  // namespace
}  // namespace hinge::kernels::cpu
