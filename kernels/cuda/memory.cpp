#include "kernels/simt/memory.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace simt {
namespace {

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

}  // namespace

void* allocate(std::size_t bytes, NativeStream stream) {
  void* memory = nullptr;
  check(cudaMallocAsync(&memory, std::max<std::size_t>(bytes, 1), stream), "allocating on the GPU");
  // For tests: what nobody has written is NaN, as on the emulator.
  static const bool poison = std::getenv("HINGE_POISON") != nullptr;
  if (poison) check(cudaMemsetAsync(memory, 0xff, bytes, stream), "allocating on the GPU");
  return memory;
}
void release(void* memory, NativeStream stream) noexcept { cudaFreeAsync(memory, stream); }
void copy_in(void* device, const void* host, std::size_t bytes, NativeStream stream) {
  check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream), "copying to the GPU");
}
void copy_out(void* host, const void* device, std::size_t bytes, NativeStream stream) {
  check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream), "copying from the GPU");
  check(cudaStreamSynchronize(stream), "copying from the GPU");
}

}  // namespace simt
