// What simt.h adds to CUDA under nvcc.
#pragma once

#include <cooperative_groups.h>
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "kernels/simt/launch_shape.h"
#include "kernels/simt/native_stream.h"

#define SIMT_SHARED(type, name, extents) __shared__ type name extents

namespace simt {

template <class T>
__device__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char simt_dynamic_shared[];
  return reinterpret_cast<T*>(simt_dynamic_shared);
}

__device__ inline void grid_barrier() { cooperative_groups::this_grid().sync(); }

// The GPU traps on a misaligned access by itself.
__device__ inline void check_aligned(const void*, std::size_t) {}

// Tells the compiler that a pointer read from a table is one to global memory, as it knows of a kernel's parameters:
// loads through it become LDG, not the generic LD, which has to find out.
template <class T>
__device__ T* global(T* pointer) {
  __builtin_assume(__isGlobal(pointer));
  return pointer;
}

inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
  }
}

template <class... Params>
int resident_blocks(void (*kernel)(Params...), unsigned threads, std::size_t shared_bytes = 0) {
  int device = 0, multiprocessors = 0, per_multiprocessor = 0;
  check(cudaGetDevice(&device), "resident blocks");
  check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device), "resident blocks");
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_multiprocessor, kernel,
                                                      static_cast<int>(threads), shared_bytes),
        "resident blocks");
  return multiprocessors * per_multiprocessor;
}

// The arguments convert to the kernel's own parameter types.
template <class... Params, class... Args>
void launch(const char* name, const LaunchShape& shape, NativeStream stream, void (*kernel)(Params...),
            Args&&... args) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.blocks.x, shape.blocks.y, shape.blocks.z);
  config.blockDim = dim3(shape.threads.x, shape.threads.y, shape.threads.z);
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = shape.cooperative ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...), name);
}

}  // namespace simt
