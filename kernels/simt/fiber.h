// A call that can be left in the middle and gone on with: the emulator's threads.
//
// Switching saves the callee-saved registers and changes the stack (Boost.Context's fcontext), without a system call.
// AddressSanitizer is told about every switch. Stacks have a guard page below and are pooled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace simt::emulator {

class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next resume() calls body(argument) on `stack`. body must not throw; it may suspend() and return.
  void start(std::byte* stack, void (*body)(void*), void* argument);
  // Runs until the next suspend() or the end of the body.
  void resume();
  // Called from within: back to where resume() was called.
  void suspend();

  static std::uint64_t switches();

 private:
  struct Entry;

  void* inside_ = nullptr;   // where the fiber was left
  void* outside_ = nullptr;  // where resume() was called
  std::byte* stack_ = nullptr;
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  void* fake_stack_ = nullptr;           // AddressSanitizer's, while suspended
  const void* outside_stack_ = nullptr;  // bounds of the caller's stack, for AddressSanitizer
  std::size_t outside_size_ = 0;
};

// Stacks of one host thread, kept until it ends.
class StackPool {
 public:
  ~StackPool();
  std::byte* take();
  // `abandoned`: a fiber was left in the middle, so its frames' red zones are still marked.
  void give(std::byte* stack, bool abandoned);

 private:
  std::vector<std::byte*> free_;
};

}  // namespace simt::emulator
