// Floats to bfloat16 and back: six bytes an element; four elements per thread and turn, 16 bytes on the float's side and 8 on the
// other.
#include "kernels/bfloat16.h"

#include "kernels/device/vector.cuh"
#include "kernels/registry.h"

namespace hinge::kernels::cuda {
namespace {

using namespace device;

// Two in the order of memory.
inline __device__ unsigned pair_of(float first, float second) { return bfloat16_of(first) | static_cast<unsigned>(bfloat16_of(second)) << 16; }

__global__ void __launch_bounds__(kElementThreads) to_bfloat16_kernel(std::int64_t size, bool aligned, const float* x, std::uint16_t* y) {
  grid_elements(
      size, aligned,
      [=](std::int64_t i) {
        const float4 v = load_vector(x + i);
        *simt::global(reinterpret_cast<uint2*>(y + i)) = make_uint2(pair_of(v.x, v.y), pair_of(v.z, v.w));
      },
      [=](std::int64_t i) { y[i] = bfloat16_of(x[i]); });
}

__global__ void __launch_bounds__(kElementThreads) from_bfloat16_kernel(std::int64_t size, bool aligned, const std::uint16_t* y, float* x) {
  grid_elements(
      size, aligned,
      [=](std::int64_t i) {
        const uint2 v = *simt::global(reinterpret_cast<const uint2*>(y + i));
        const auto low = [](unsigned pair) { return float_of(static_cast<std::uint16_t>(pair & 0xffffu)); };
        const auto high = [](unsigned pair) { return float_of(static_cast<std::uint16_t>(pair >> 16)); };
        store_vector(x + i, make_float4(low(v.x), high(v.x), low(v.y), high(v.y)));
      },
      [=](std::int64_t i) { x[i] = float_of(y[i]); });
}

bool fits_vectors(const float* floats, const std::uint16_t* halves) {
  return is_vector_aligned(floats) && reinterpret_cast<std::uintptr_t>(halves) % sizeof(uint2) == 0;
}

void to_bfloat16(std::int64_t size, const float* x, std::uint16_t* y, simt::NativeStream stream) {
  if (size > 0) simt::launch(ToBfloat16::kName, element_grid(size), stream, &to_bfloat16_kernel, size, fits_vectors(x, y), x, y);
}
void from_bfloat16(std::int64_t size, const std::uint16_t* y, float* x, simt::NativeStream stream) {
  if (size > 0) simt::launch(FromBfloat16::kName, element_grid(size), stream, &from_bfloat16_kernel, size, fits_vectors(x, y), y, x);
}

const bool registered = register_kernel<ToBfloat16>(Backend::kCuda, &to_bfloat16) && register_kernel<FromBfloat16>(Backend::kCuda, &from_bfloat16);

}  // namespace
}  // namespace hinge::kernels::cuda
