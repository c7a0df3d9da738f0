// A block of memory on a device, returned to the device's cache when the last tensor lets go of it.
//
// Blocks are kept for reuse by rounded size: a training step asks for the same sizes every time, and fresh pages
// from the system cost more than most element-wise kernels.
#pragma once

#include <cstddef>
#include <memory>

#include "engine/core/device.h"

namespace hinge {

class Storage {
 public:
  Storage(std::size_t bytes, Device device);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t rounded_ = 0;
  Device device_;
};

struct MemoryUse {
  std::size_t used = 0;    // bytes in live tensors
  std::size_t peak = 0;    // the most `used` has been since reset_peak_memory
  std::size_t cached = 0;  // bytes kept for reuse
};

MemoryUse memory_use(Device device);
void reset_peak_memory(Device device);
// Gives cached blocks back to the system.
void release_cached_memory(Device device);

// Memory of its own for what is captured in a graph: tensors that are made on `device` while a Scope lives come from
// it. The pool must outlive the graph; its memory goes back as its last tensors do.
class MemoryPool {
 public:
  explicit MemoryPool(Device device);
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  class Scope {
   public:
    explicit Scope(MemoryPool& pool);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Device device_;
    int before_;
  };
  // While one lives, tensors come from the common memory again: what is written between replays must not lie in a pool,
  // where a block that looked free during the capture is scratch in every replay.
  class Outside {
   public:
    explicit Outside(Device device);
    ~Outside();
    Outside(const Outside&) = delete;
    Outside& operator=(const Outside&) = delete;

   private:
    Device device_;
    int before_;
  };

 private:
  Device device_;
  int pool_;
};

}  // namespace hinge
