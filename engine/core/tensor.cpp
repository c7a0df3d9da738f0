#include "engine/core/tensor.h"

#include <algorithm>
#include <cstring>

#include "engine/core/accelerator.h"

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
  if (device.is_cpu()) {
    std::memset(result.storage_->data(), 0, result.bytes());
  } else {
    accelerator()->set_zero(result.storage_->data(), result.bytes(), device.index);
  }
  return result;
}

Tensor Tensor::full(Shape shape, float value, Device device) {
  Tensor result = empty(shape, DType::kFloat32, device);
  if (device.is_cpu()) {
    std::fill_n(result.mutable_data<float>(), result.size(), value);
  } else {
    accelerator()->fill(result.mutable_data<float>(), static_cast<std::size_t>(result.size()), value, device.index);
  }
  return result;
}

float Tensor::item() const {
  require(size() == 1, "tensor: item() of shape {}, expected one element", shape_);
  return *to(Device{}).data<float>();
}

Tensor Tensor::clone() const {
  if (!defined()) return {};
  Tensor copy = empty(shape_, dtype_, device());
  copy.copy_from(*this);
  return copy;
}

Tensor Tensor::to(Device device) const {
  if (!defined() || this->device() == device) return detached();
  Tensor copy = empty(shape_, dtype_, device);
  copy.copy_from(*this);
  return copy;
}

void Tensor::copy_from(const Tensor& from) {
  require(defined() && from.defined() && from.shape_ == shape_ && from.dtype_ == dtype_, "tensor: {} {} can't be copied to {} {}",
          name_of(from.dtype_), from.shape_, name_of(dtype_), shape_);
  std::byte* to = storage_->data();
  const std::byte* source = from.storage_->data();
  const Device here = device(), there = from.device();
  if (bytes() == 0 || storage_ == from.storage_) return;
  if (here.is_cpu() && there.is_cpu()) {
    std::memcpy(to, source, bytes());
  } else if (here.is_cpu()) {
    accelerator()->copy_out(to, source, bytes(), there.index);
  } else if (there.is_cpu()) {
    accelerator()->copy_in(to, source, bytes(), here.index);
  } else if (here == there) {
    accelerator()->copy_within(to, source, bytes(), here.index);
  } else {
    copy_from(from.to(Device{}));  // from GPU to GPU by way of the host: nothing here does that in a loop
  }
}

void Tensor::copy_range_from(const Tensor& from, std::int64_t begin, std::int64_t to, std::int64_t count) {
  require(defined() && from.defined() && from.dtype_ == dtype_ && from.device() == device(), "tensor: a part of {} on {} can't become one of {} on {}", name_of(from.dtype_), from.device().to_string(), name_of(dtype_), device().to_string());
  require(begin >= 0 && to >= 0 && count >= 0 && begin + count <= from.size() && to + count <= size(), "tensor: elements {} to {} of {} can't become elements {} to {} of {}", begin, begin + count, from.size(), to, to + count, size());
  if (count == 0) return;
  const std::size_t each = size_of(dtype_), bytes = static_cast<std::size_t>(count) * each;
  std::byte* target = storage_->data() + static_cast<std::size_t>(to) * each;
  const std::byte* source = from.storage_->data() + static_cast<std::size_t>(begin) * each;
  if (device().is_cpu()) {
    std::memmove(target, source, bytes);
  } else {
    accelerator()->copy_within(target, source, bytes, device().index);
  }
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t end) const {
  require(shape_.rank() > 0 && begin >= 0 && begin <= end && end <= dim(0), "tensor: rows {} to {} of shape {}", begin, end, shape_);
  std::array<std::int64_t, Shape::kMaxRank> extents{};
  extents[0] = end - begin;
  for (int axis = 1; axis < shape_.rank(); ++axis) extents[static_cast<std::size_t>(axis)] = dim(axis);
  Tensor part = empty(Shape(std::span(extents).first(static_cast<std::size_t>(shape_.rank()))), dtype_, device());
  const std::int64_t of_one = dim(0) == 0 ? 0 : size() / dim(0);
  part.copy_range_from(*this, begin * of_one, 0, part.size());
  return part;
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
