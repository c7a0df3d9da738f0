// The one header with which a kernel source speaks CUDA, under nvcc and under a host compiler.
//
//   simt::launch(name, shape, stream, kernel, args...)   runs kernel; an error names it
//   simt::shared_memory<T>()                             the block's dynamic shared memory
//   SIMT_SHARED(float, tile, [32][33]);                  static shared memory: an array called `tile`
//   simt::grid_barrier()                                 waits for all blocks of a cooperative launch
//   simt::resident_blocks(kernel, threads, shared)       how many blocks a cooperative launch may have
//
// Everything else is CUDA's own: threadIdx, __syncthreads(), __shfl_xor_sync(), atomicAdd(), float4. Under nvcc they
// come from CUDA; under a host compiler from the emulator (emulator.h), so that the same file runs on a machine without
// a GPU, under AddressSanitizer and UBSan. A binary links the objects of one compiler or of the other, never both: the
// same templates compiled twice would be one function to the linker.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/simt/host_device.h"
#include "kernels/simt/launch_shape.h"
#include "kernels/simt/native_stream.h"

#if defined(__CUDACC__)
#include "kernels/simt/native_cuda.h"
#else
#include "kernels/simt/emulated_cuda.h"
#endif
