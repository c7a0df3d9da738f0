// Group norms and group shrinkage: the kernels behind every group-sparse proximal step.
//
//   W : a matrix seen as `groups` groups of `size` elements; element j of group g is at g*group_stride + j*element_stride
//   n : [groups]  norms before the step (out)
//
//   n_g = sqrt(sum_j W[g,j]^2)          W[g,:] <- scale_g W[g,:],   scale_g = shrink(n_g, step) in [0, 1]
//
// Rows of a row-major matrix [groups, size]: strides (size, 1). Columns of [size, groups]: strides (1, groups).
#pragma once

#include <cstdint>

namespace hinge::kernels {

struct GroupView {
  float* data = nullptr;
  std::int64_t groups = 0, size = 0;
  std::int64_t group_stride = 0, element_stride = 0;
};

// norms[g] = ||W[g,:]||, summed in double.
struct GroupNorms {
  static constexpr const char* kName = "group norms";
  using Signature = void(const GroupView&, float* norms);
};

// W[g,:] <- scales[g] W[g,:]; a scale of exactly 0 writes zeros even over infinities.
struct GroupScale {
  static constexpr const char* kName = "group scale";
  using Signature = void(const GroupView&, const float* scales);
};

}  // namespace hinge::kernels
