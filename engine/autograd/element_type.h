// What an operation's numbers lie in memory as.
#pragma once

#include <utility>

#include "engine/core/tensor.h"
#include "kernels/bfloat16.h"

namespace hinge {

// Calls f with a value of the type of `tensor`'s elements: float, or Bfloat16, which only a GPU computes with.
template <class F>
auto by_element_type(const Tensor& tensor, F f) {
  if (tensor.dtype() == DType::kFloat32) return f(float{});
  require(tensor.dtype() == DType::kBfloat16, "operation: the tensor holds {}, expected F32 or BF16", name_of(tensor.dtype()));
  require(!tensor.device().is_cpu(), "operation: a tensor of BF16 lies on the CPU, expected a GPU; the CPU computes in F32");
  return f(Bfloat16{});
}

}  // namespace hinge
