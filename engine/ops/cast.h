// The same numbers in another type.
#pragma once

#include "engine/core/tensor.h"

namespace hinge {

// x as `dtype`, F32 or BF16 (rounded to nearest); x itself where it is that already. The gradient comes back in x's own type.
Tensor cast(const Tensor& x, DType dtype, const Stream& stream);

}  // namespace hinge
