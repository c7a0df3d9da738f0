// Scratch memory of the calling thread, grown when needed and kept: kernels that reorder or accumulate use it
// instead of allocating in every call.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace hinge::kernels::cpu {

class Workspace {
 public:
  // At least `bytes` bytes, aligned to 64; what an earlier call returned is no longer valid.
  void* reserve(std::size_t bytes) {
    if (bytes > capacity_) {
      block_.reset();
      capacity_ = 0;
      const std::size_t rounded = (bytes + 4095) / 4096 * 4096;
      block_.reset(std::aligned_alloc(64, rounded));
      if (!block_) throw std::bad_alloc();
      capacity_ = rounded;
    }
    return block_.get();
  }

 private:
  struct Free {
    void operator()(void* block) const { std::free(block); }
  };
  std::unique_ptr<void, Free> block_;
  std::size_t capacity_ = 0;
};

}  // namespace hinge::kernels::cpu
