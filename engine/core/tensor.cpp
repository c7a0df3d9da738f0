#include "engine/core/tensor.h"

#include <algorithm>
#include <cstring>

namespace hinge {

Tensor Tensor::empty(Shape shape, DType dtype, Device device) {
  Tensor result;
  result.storage_ = std::make_shared<Storage>(
      static_cast<std::size_t>(shape.size()) * size_of(dtype), device);
  result.shape_ = shape;
  result.dtype_ = dtype;
  return result;
}

Tensor Tensor::zeros(Shape shape, DType dtype, Device device) {
  Tensor result = empty(shape, dtype, device);
  std::memset(result.storage_->data(), 0, result.bytes());
  return result;
}

Tensor Tensor::full(Shape shape, float value, Device device) {
  Tensor result = empty(shape, DType::kFloat32, device);
  std::fill_n(result.mutable_data<float>(), result.size(), value);
  return result;
}

float Tensor::item() const {
  require(size() == 1, "tensor: item() of shape {}, expected one element", shape_);
  return *data<float>();
}

Tensor Tensor::clone() const {
  if (!defined()) return {};
  Tensor copy = empty(shape_, dtype_, device());
  std::memcpy(copy.storage_->data(), storage_->data(), bytes());
  return copy;
}

Tensor Tensor::reshaped(Shape shape) const {
  require(shape.size() == size(), "tensor: {} can't be seen as {}", shape_, shape);
  Tensor result = detached();
  result.shape_ = shape;
  return result;
}

Tensor Tensor::detached() const {
  Tensor result = *this;
  result.node_.reset();
  return result;
}

Tensor Tensor::with_node(NodePtr node) const {
  Tensor result = *this;
  result.node_ = std::move(node);
  return result;
}

void Tensor::check_access(DType asked) const {
  require(defined(), "tensor: no data (a default-constructed tensor was used)");
  require(asked == dtype_, "tensor: holds {}, asked for {}", name_of(dtype_), name_of(asked));
}

}  // namespace hinge
