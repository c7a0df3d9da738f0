#include "kernels/group_prox.h"

#include <cmath>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/registry.h"

namespace hinge::kernels::cpu {
namespace {

void group_norms(const GroupView& w, float* norms) {
  // Element-major, so that groups of stride 1 (columns) are read along memory.
  std::vector<double> squares(static_cast<std::size_t>(w.groups), 0.0);
  if (w.element_stride == 1) {
    parallel_ranges(w.groups, w.size, [&](Range range) {
      for (std::int64_t g = range.begin; g < range.end; ++g) {
        double sum = 0.0;
        const float* group = w.data + g * w.group_stride;
        for (std::int64_t j = 0; j < w.size; ++j) sum += static_cast<double>(group[j]) * static_cast<double>(group[j]);
        squares[static_cast<std::size_t>(g)] = sum;
      }
    });
  } else {
    parallel_ranges(w.groups, w.size, [&](Range range) {
      for (std::int64_t j = 0; j < w.size; ++j) {
        for (std::int64_t g = range.begin; g < range.end; ++g) {
          const double value = static_cast<double>(w.data[g * w.group_stride + j * w.element_stride]);
          squares[static_cast<std::size_t>(g)] += value * value;
        }
      }
    });
  }
  for (std::int64_t g = 0; g < w.groups; ++g) norms[g] = static_cast<float>(std::sqrt(squares[static_cast<std::size_t>(g)]));
}

void group_scale(const GroupView& w, const float* scales) {
  parallel_ranges(w.groups, w.size, [&](Range range) {
    for (std::int64_t g = range.begin; g < range.end; ++g) {
      const float scale = scales[g];
      if (scale == 1.0f) continue;
      float* group = w.data + g * w.group_stride;
      for (std::int64_t j = 0; j < w.size; ++j) {
        float& value = group[j * w.element_stride];
        value = scale == 0.0f ? 0.0f : scale * value;
      }
    }
  });
}

const bool registered = register_kernel<GroupNorms>(Backend::kCpu, &group_norms) &&
                        register_kernel<GroupScale>(Backend::kCpu, &group_scale);

}  // namespace
}  // namespace hinge::kernels::cpu
