#include "engine/ops/cast.h"

#include "engine/autograd/node.h"
#include "kernels/bfloat16.h"
#include "kernels/registry.h"

namespace hinge {
namespace {

Tensor converted(const Tensor& x, DType dtype, const Stream& stream) {
  Tensor y = Tensor::empty(x.shape(), dtype, stream.device());
  if (dtype == DType::kBfloat16) {
    kernels::dispatch<kernels::ToBfloat16>(stream, x.size(), x.data(), y.mutable_data<Bfloat16>());
  } else {
    kernels::dispatch<kernels::FromBfloat16>(stream, x.size(), x.data<Bfloat16>(), y.mutable_data());
  }
  return y;
}

}  // namespace

Tensor cast(const Tensor& x, DType dtype, const Stream& stream) {
  const auto known = [](DType type) { return type == DType::kFloat32 || type == DType::kBfloat16; };
  require(known(x.dtype()) && known(dtype), "cast: from {} to {}, expected F32 or BF16 on both sides", name_of(x.dtype()), name_of(dtype));
  if (x.dtype() == dtype) return x;
  return record("cast", {x}, converted(x, dtype, stream), [from = x.dtype()](const Tensor& dy, const Stream& on) -> Gradients { return {converted(dy, from, on)}; });
}

}  // namespace hinge
