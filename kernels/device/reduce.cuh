// Reductions of a warp and of a block.
//
//   warp_*   every lane of the full warp calls and receives the result
//   block_*  every thread of the block calls and receives the result; the block is 1-D, of whole warps
//
// A block reduction begins and ends with a barrier for its own scratch, so two may follow each other. Sums are added in
// an order that depends on nothing but the block's size: results are the same in every run.
#pragma once

#include "kernels/simt/simt.h"

namespace hinge::kernels::device {

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};
struct Smaller {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};

template <class T, class Combine>
__device__ T warp_reduce(T value, Combine combine) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    value = combine(value, __shfl_xor_sync(simt::kFullWarp, value, step));
  }
  return value;
}
template <class T>
__device__ T warp_sum(T value) {
  return warp_reduce(value, Plus());
}

template <class T, class Combine>
__device__ T block_reduce(T value, Combine combine) {
  SIMT_SHARED(T, of_warp, [32]);
  value = warp_reduce(value, combine);
  __syncthreads();  // the last reduction's reads are over
  if (threadIdx.x % simt::kWarpSize == 0) of_warp[threadIdx.x / simt::kWarpSize] = value;
  __syncthreads();
  T total = of_warp[0];
  for (unsigned w = 1; w < blockDim.x / simt::kWarpSize; ++w) total = combine(total, of_warp[w]);
  return total;
}
template <class T>
__device__ T block_sum(T value) {
  return block_reduce(value, Plus());
}

// `value` of thread 0, in every thread.
template <class T>
__device__ T block_broadcast(T value) {
  SIMT_SHARED(T, shared, [1]);
  __syncthreads();
  if (threadIdx.x == 0) shared[0] = value;
  __syncthreads();
  return shared[0];
}

}  // namespace hinge::kernels::device
