#include "tests/fuzz/memory.h"

#include <algorithm>
#include <atomic>
#include <cstdint>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HINGE_FUZZ_COUNTS 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HINGE_FUZZ_COUNTS 1
#endif

#ifdef HINGE_FUZZ_COUNTS
// <sanitizer/allocator_interface.h>, which gcc doesn't install.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*, std::size_t), void (*free_hook)(const volatile void*));
extern "C" std::size_t __sanitizer_get_allocated_size(const volatile void* p);
#endif

namespace hinge::fuzz {
namespace {

std::atomic<bool> counting{false};
std::atomic<std::int64_t> live{0}, most{0};

#ifdef HINGE_FUZZ_COUNTS
void allocated(const volatile void*, std::size_t size) {
  if (!counting.load(std::memory_order_relaxed)) return;
  const std::int64_t now = live += static_cast<std::int64_t>(size);
  std::int64_t before = most.load();
  while (now > before && !most.compare_exchange_weak(before, now)) {
  }
}
void freed(const volatile void* p) {
  if (p != nullptr && counting.load(std::memory_order_relaxed)) live -= static_cast<std::int64_t>(__sanitizer_get_allocated_size(p));
}
const bool installed = __sanitizer_install_malloc_and_free_hooks(&allocated, &freed) != 0;
#else
const bool installed = false;
#endif

}  // namespace

MemoryWatch::MemoryWatch() {
  live = 0, most = 0;
  counting = true;
}
MemoryWatch::~MemoryWatch() { counting = false; }
std::size_t MemoryWatch::peak() const { return static_cast<std::size_t>(std::max<std::int64_t>(most, 0)); }
bool memory_is_counted() { return installed; }

}  // namespace hinge::fuzz
