// Crop, mirror and normalise from 8-bit images that stay in GPU memory. One block per image, threads along the output,
// so that writes are coalesced; the draw is made once per block. Values come from a table, so they are the CPU's bits.
#include "kernels/augment.h"

#include "kernels/device/reduce.cuh"
#include "kernels/registry.h"

namespace hinge::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;

__global__ void __launch_bounds__(kThreads) augment_kernel(AugmentShape s, const std::uint8_t* pixels,
                                                           const std::int32_t* indices, const float* table, float* out) {
  SIMT_SHARED(CropAndFlip, shared, [1]);
  const std::int64_t size = s.h * s.w * s.c, image = indices[blockIdx.x];
  if (threadIdx.x == 0) {
    shared[0] = draw_crop_and_flip(s.padding, s.flip, s.seed, s.epoch, static_cast<std::uint64_t>(image));
  }
  __syncthreads();
  const CropAndFlip draw = shared[0];
  const std::uint8_t* source = pixels + image * size;
  float* target = out + blockIdx.x * size;
  for (std::int64_t i = threadIdx.x; i < size; i += kThreads) {
    const std::int64_t c = i % s.c, x = i / s.c % s.w, y = i / s.c / s.w;
    const std::int64_t from_y = y + draw.top - s.padding;
    const std::int64_t from_x = (draw.flip ? s.w - 1 - x : x) + draw.left - s.padding;
    const bool inside = from_y >= 0 && from_y < s.h && from_x >= 0 && from_x < s.w;
    target[i] = table[c * 256 + (inside ? source[(from_y * s.w + from_x) * s.c + c] : 0)];
  }
}

void augment(const AugmentShape& s, const std::uint8_t* pixels, const std::int32_t* indices, const float* table,
             float* out, simt::NativeStream stream) {
  if (s.n * s.h * s.w * s.c == 0) return;
  simt::launch("augment images", {static_cast<unsigned>(s.n), kThreads}, stream, &augment_kernel, s, pixels, indices,
               table, out);
}

const bool registered = register_kernel<AugmentImages>(Backend::kCuda, &augment);

}  // namespace
}  // namespace hinge::kernels::cuda
