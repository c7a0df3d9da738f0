// A dense row-major array: a shared buffer plus a shape.
//
// Copying a Tensor shares the buffer; only `mutable_data` writes, and says so by name. There are no strides and no
// views: a transpose is a copy (docs/decisions/0001).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/core/device.h"
#include "engine/core/dtype.h"
#include "engine/core/error.h"
#include "engine/core/shape.h"
#include "engine/core/storage.h"

namespace hinge {

struct Node;  // engine/autograd/node.h
using NodePtr = std::shared_ptr<Node>;

class Tensor {
 public:
  Tensor() = default;

  // Uninitialised elements.
  static Tensor empty(Shape shape, DType dtype = DType::kFloat32, Device device = {});
  static Tensor zeros(Shape shape, DType dtype = DType::kFloat32, Device device = {});
  static Tensor full(Shape shape, float value, Device device = {});
  // Copies `values` (row-major, shape.size() of them) to a new CPU tensor.
  template <class T>
  static Tensor from(Shape shape, std::span<const T> values);
  static Tensor from(Shape shape, const std::vector<float>& values) {
    return from<float>(shape, std::span<const float>(values));
  }

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  std::int64_t dim(int axis) const { return shape_[axis]; }
  std::int64_t size() const { return shape_.size(); }
  DType dtype() const { return dtype_; }
  Device device() const { return defined() ? storage_->device() : Device{}; }
  std::size_t bytes() const { return static_cast<std::size_t>(size()) * size_of(dtype_); }

  template <class T = float>
  const T* data() const {
    check_access(DTypeOf<T>::value);
    return reinterpret_cast<const T*>(storage_->data());
  }
  template <class T = float>
  T* mutable_data() {
    check_access(DTypeOf<T>::value);
    return reinterpret_cast<T*>(storage_->data());
  }
  // Of a tensor on the CPU that has a name: a temporary's memory is gone with it, in a range-for before the first turn.
  template <class T = float>
  std::span<const T> values() const&& = delete;
  template <class T = float>
  std::span<const T> values() const& {
    require(device().is_cpu(), "tensor: the host reads values of a tensor on {}; copy it with to() first", device().to_string());
    return {data<T>(), static_cast<std::size_t>(size())};
  }
  // The single element of a tensor of size 1; waits for the device.
  float item() const;

  // A new buffer with the same elements on the same device, without history.
  Tensor clone() const;
  // The same elements on `device`, without history: this buffer where it lies there already, else a copy.
  Tensor to(Device device) const;
  // A new buffer with the same elements on `device`, in any case.
  Tensor copy_on(Device device) const { return this->device() == device ? clone() : to(device); }
  // Overwrites the elements with those of `from`, on whatever device it lies; shape and type must agree.
  void copy_from(const Tensor& from);
  // Elements [to, to + count) become elements [begin, begin + count) of `from`, on the same device, in row-major order.
  void copy_range_from(const Tensor& from, std::int64_t begin, std::int64_t to, std::int64_t count);
  // A copy of the rows [begin, end) of axis 0, on the same device, without history.
  Tensor rows(std::int64_t begin, std::int64_t end) const;
  // The same buffer under another shape of equal size, without history.
  Tensor reshaped(Shape shape) const;
  // The same buffer without history.
  Tensor detached() const;
  // True if no other tensor shares the buffer.
  bool unique() const { return storage_.use_count() == 1; }

  // The operation that made this tensor; null for a constant.
  const NodePtr& node() const { return node_; }
  Tensor with_node(NodePtr node) const;

 private:
  void check_access(DType asked) const;

  std::shared_ptr<Storage> storage_;
  Shape shape_;
  DType dtype_ = DType::kFloat32;
  NodePtr node_;
};

template <class T>
Tensor Tensor::from(Shape shape, std::span<const T> values) {
  require(shape.size() == static_cast<std::int64_t>(values.size()),
          "tensor: shape {} holds {} elements, {} were given", shape, shape.size(), values.size());
  Tensor result = empty(shape, DTypeOf<T>::value);
  std::copy(values.begin(), values.end(), result.mutable_data<T>());
  return result;
}

}  // namespace hinge
