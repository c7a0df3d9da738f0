#include "kernels/simt/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/detail/fcontext.hpp>
#include <new>
#include <utility>

#include "kernels/simt/poison.h"

#ifdef SIMT_ASAN
#include <sanitizer/common_interface_defs.h>
#define SIMT_NO_ASAN __attribute__((no_sanitize("address")))
#else
#define SIMT_NO_ASAN
#endif

namespace simt::emulator {
namespace {

// Kernels keep their arrays in registers or shared memory; the deepest test kernel uses 3 KiB, 9 under the sanitizers.
constexpr std::size_t kStackBytes = 64 * 1024;

thread_local std::uint64_t switch_count = 0;

std::size_t guard_bytes() {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return page;
}

}  // namespace

namespace context = boost::context::detail;

// Not instrumented: these frames are never returned from, so their red zones would stay behind.
struct Fiber::Entry {
  SIMT_NO_ASAN static void run(context::transfer_t from) {
    auto* self = static_cast<Fiber*>(from.data);
    self->outside_ = from.fctx;
#ifdef SIMT_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &self->outside_stack_, &self->outside_size_);
#endif
    self->body_(self->argument_);
#ifdef SIMT_ASAN
    __sanitizer_start_switch_fiber(nullptr, self->outside_stack_, self->outside_size_);
#endif
    context::jump_fcontext(self->outside_, nullptr);  // never comes back
  }
};

void Fiber::start(std::byte* stack, void (*body)(void*), void* argument) {
  stack_ = stack;
  body_ = body;
  argument_ = argument;
  fake_stack_ = nullptr;
  inside_ = context::make_fcontext(stack + kStackBytes, kStackBytes, &Entry::run);
}

void Fiber::resume() {
  switch_count += 2;
#ifdef SIMT_ASAN
  void* own_fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&own_fake_stack, stack_, kStackBytes);
#endif
  inside_ = context::jump_fcontext(inside_, this).fctx;
#ifdef SIMT_ASAN
  __sanitizer_finish_switch_fiber(own_fake_stack, nullptr, nullptr);
#endif
}

void Fiber::suspend() {
#ifdef SIMT_ASAN
  __sanitizer_start_switch_fiber(&fake_stack_, outside_stack_, outside_size_);
#endif
  outside_ = context::jump_fcontext(outside_, nullptr).fctx;
#ifdef SIMT_ASAN
  __sanitizer_finish_switch_fiber(fake_stack_, &outside_stack_, &outside_size_);
#endif
}

std::uint64_t Fiber::switches() { return switch_count; }

StackPool::~StackPool() {
  for (std::byte* stack : free_) munmap(stack - guard_bytes(), kStackBytes + guard_bytes());
}

std::byte* StackPool::take() {
  if (!free_.empty()) {
    std::byte* stack = free_.back();
    free_.pop_back();
    return stack;
  }
  void* memory = mmap(nullptr, kStackBytes + guard_bytes(), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, guard_bytes(), PROT_NONE);
  return static_cast<std::byte*>(memory) + guard_bytes();
}

void StackPool::give(std::byte* stack, [[maybe_unused]] bool abandoned) {
#ifdef SIMT_ASAN
  if (abandoned) unpoison(stack, kStackBytes);
#endif
  free_.push_back(stack);
}

}  // namespace simt::emulator
