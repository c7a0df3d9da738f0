// How exact and how repeatable the GPU's library calls are. The CPU has one way only and looks at none of this.
#pragma once

#include <cstddef>

namespace hinge::kernels {

struct MathMode {
  // Products of convolutions and matrices round their operands to 10 bits of mantissa (TF32) on the tensor cores; sums
  // stay float. Errors grow from about 1e-7 to about 3e-4 of the operands' size.
  bool tf32 = false;
  // Only algorithms that give the same bytes in every run.
  bool deterministic = false;
  // A convolution's algorithm may use at most so many bytes beside its operands.
  std::size_t workspace_limit = std::size_t{256} << 20;
};

const MathMode& math_mode();
// For the whole process, before the first convolution: algorithms that were chosen under another mode are kept.
void set_math_mode(const MathMode& mode);

}  // namespace hinge::kernels
