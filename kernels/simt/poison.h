// Memory that nobody may touch for now: whoever hands out pieces of larger blocks tells AddressSanitizer which bytes are whose.
// Without the sanitizer this does nothing.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#endif
#ifdef SIMT_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace simt {

#ifdef SIMT_ASAN
inline constexpr bool kAddressSanitizer = true;
inline void poison(const void* begin, std::size_t bytes) noexcept { __asan_poison_memory_region(begin, bytes); }
inline void unpoison(const void* begin, std::size_t bytes) noexcept { __asan_unpoison_memory_region(begin, bytes); }
inline bool is_poisoned(const void* byte) noexcept { return __asan_address_is_poisoned(byte) != 0; }
#else
inline constexpr bool kAddressSanitizer = false;
inline void poison(const void*, std::size_t) noexcept {}
inline void unpoison(const void*, std::size_t) noexcept {}
inline bool is_poisoned(const void*) noexcept { return false; }
#endif

}  // namespace simt
