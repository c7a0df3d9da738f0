// How much memory a piece of code has live at once. Counted where AddressSanitizer, which sees every allocation, is there;
// elsewhere peak() is 0.
#pragma once

#include <cstddef>

namespace hinge::fuzz {

// Counts from its construction to its end, over all threads. One at a time.
class MemoryWatch {
 public:
  MemoryWatch();
  ~MemoryWatch();
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;

  // The most that was live at once of what was allocated since the construction, in bytes.
  std::size_t peak() const;
};

// Does this build count?
bool memory_is_counted();

}  // namespace hinge::fuzz
