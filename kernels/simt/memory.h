// Memory that kernels can read and write, for code without CUDA's headers.
//
// For kernels' own scratch and for tests; the engine's tensors come from device.h by way of its cache. On the emulator
// this is the heap, in blocks of the exact size, filled with NaN; with nvcc's objects it is the GPU's.
// Allocation and release are ordered by the stream, so both can be captured in a CUDA graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/simt/native_stream.h"

namespace simt {

void* allocate(std::size_t bytes, NativeStream stream);
void release(void* memory, NativeStream stream) noexcept;
void copy_in(void* device, const void* host, std::size_t bytes, NativeStream stream);
// Waits for the stream first.
void copy_out(void* host, const void* device, std::size_t bytes, NativeStream stream);

// `count` elements, uninitialised; given back when the object goes, in the stream's order.
template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  Buffer(std::int64_t count, NativeStream stream)
      : count_(count), stream_(stream), data_(static_cast<T*>(allocate(static_cast<std::size_t>(count) * sizeof(T), stream))) {}
  Buffer(std::span<const T> values, NativeStream stream)
      : Buffer(static_cast<std::int64_t>(values.size()), stream) {
    copy_in(data_, values.data(), values.size() * sizeof(T), stream);
  }
  explicit Buffer(const std::vector<T>& values, NativeStream stream = nullptr)
      : Buffer(std::span<const T>(values), stream) {}
  ~Buffer() {
    if (data_ != nullptr) release(data_, stream_);
  }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::int64_t size() const { return count_; }
  std::vector<T> to_host() const {
    std::vector<T> values(static_cast<std::size_t>(count_));
    copy_out(values.data(), data_, values.size() * sizeof(T), stream_);
    return values;
  }

 private:
  void swap(Buffer& other) {
    std::swap(count_, other.count_);
    std::swap(stream_, other.stream_);
    std::swap(data_, other.data_);
  }

  std::int64_t count_ = 0;
  NativeStream stream_ = nullptr;
  T* data_ = nullptr;
};

}  // namespace simt
