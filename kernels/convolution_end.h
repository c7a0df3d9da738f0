// What follows the sums of a convolution or a linear layer, in one pass over them: bias, residual, activation.
//
//   x, z, y : [rows, C]        bias : [C]
//   y = clamp(x + bias[c] + z)
#pragma once

#include <cstdint>

#include "kernels/clamp.h"

namespace hinge::kernels {

struct ConvolutionEndShape {
  std::int64_t rows = 0, c = 0;
  Clamp clamp;
};
// bias and z may be null; y may be x or z.
struct ConvolutionEnd {
  static constexpr const char* kName = "convolution end";
  using Signature = void(const ConvolutionEndShape&, const float* x, const float* bias, const float* z, float* y);
};

}  // namespace hinge::kernels
