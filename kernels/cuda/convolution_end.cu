// The end of a convolution: four channels per thread and turn where C and the pointers allow it, else one.
#include "kernels/convolution_end.h"

#include <type_traits>

#include "kernels/device/divisor.cuh"
#include "kernels/device/vector.cuh"
#include "kernels/registry.h"

namespace hinge::kernels::cuda {
namespace {

using namespace device;

template <class Value>
__device__ Value load(const float* address) {
  if constexpr (std::is_same_v<Value, float>) {
    return *address;
  } else {
    return load_vector(address);
  }
}
__device__ void store(float* address, float value) { *address = value; }
__device__ void store(float* address, float4 value) { store_vector(address, value); }
__device__ float sum(float a, float b) { return a + b; }
__device__ float4 sum(float4 a, float4 b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }
__device__ float4 clamped(float4 v, Clamp clamp) {
  return each(v, [=](float value) { return kernels::clamped(value, clamp); });
}
using kernels::clamped;

// Value is float4, for which C is a multiple of four: no vector crosses a row. Or float.
template <class Value>
__global__ void __launch_bounds__(kElementThreads)
    convolution_end_kernel(std::int64_t size, Divisor by_c, Clamp clamp, const float* x, const float* bias, const float* z, float* y) {
  constexpr int kWidth = sizeof(Value) / sizeof(float);
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = first * kWidth; i < size; i += stride * kWidth) {
    auto value = load<Value>(x + i);
    if (bias != nullptr) value = sum(value, load<Value>(bias + by_c.remainder(i)));
    if (z != nullptr) value = sum(value, load<Value>(z + i));
    store(y + i, clamped(value, clamp));
  }
}

void convolution_end(const ConvolutionEndShape& s, const float* x, const float* bias, const float* z, float* y, simt::NativeStream stream) {
  const std::int64_t size = s.rows * s.c;
  if (size == 0) return;
  const bool wide = s.c % kVectorFloats == 0 && all_vector_aligned(x, bias, z, y);
  simt::launch(ConvolutionEnd::kName, element_grid(size), stream, wide ? &convolution_end_kernel<float4> : &convolution_end_kernel<float>, size,
               Divisor(s.c), s.clamp, x, bias, z, y);
}

const bool registered = register_kernel<ConvolutionEnd>(Backend::kCuda, &convolution_end);

}  // namespace
}  // namespace hinge::kernels::cuda
