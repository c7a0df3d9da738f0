#include <cstring>
#include <new>

#include "kernels/simt/memory.h"

namespace simt {

void* allocate(std::size_t bytes, NativeStream) {
  void* memory = ::operator new (bytes, std::align_val_t{256});  // cudaMalloc's alignment
  std::memset(memory, 0xff, bytes);
  return memory;
}
void release(void* memory, NativeStream) noexcept { ::operator delete (memory, std::align_val_t{256}); }
void copy_in(void* device, const void* host, std::size_t bytes, NativeStream) {
  if (bytes > 0) std::memcpy(device, host, bytes);
}
void copy_out(void* host, const void* device, std::size_t bytes, NativeStream) {
  if (bytes > 0) std::memcpy(host, device, bytes);
}

}  // namespace simt
