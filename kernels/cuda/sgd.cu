// SGD with momentum: 12 bytes read and 8 written per element, one block per chunk of a table, or a grid over one tensor.
// See sgd.h for the maths.
#include "kernels/device/vector.cuh"
#include "kernels/registry.h"
#include "kernels/sgd_table.h"

namespace hinge::kernels::cuda {
namespace {

using namespace device;

template <int kWidth>
__device__ void update(const SgdOptions& options, const SgdParameter& p, std::int64_t i) {
  float w[kWidth], v[kWidth], g[kWidth];
  load_elements(p.weight + i, w);
  load_elements(p.velocity + i, v);
  load_elements(p.gradient + i, g);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) sgd_update(options, g[j], v[j], w[j]);
  store_elements(p.velocity + i, v);
  store_elements(p.weight + i, w);
}

__global__ void __launch_bounds__(kElementThreads) sgd_kernel(SgdParameter p, SgdOptions options) {
  grid_elements<kVectorFloats>(p.size, all_vector_aligned(p.weight, p.velocity, p.gradient), [=](std::int64_t i, auto width) { update<width>(options, p, i); });
}

__global__ void __launch_bounds__(kElementThreads) sgd_all_kernel(SgdTable table) {
  const SgdChunk chunk = table.chunks[blockIdx.x];
  const SgdOptions options = table.options[chunk.parameter];
  const SgdParameter& p = chunk.part;
  const std::int64_t vectors = all_vector_aligned(p.weight, p.velocity, p.gradient) ? p.size / kVectorFloats : 0;
#pragma unroll 2
  for (std::int64_t v = threadIdx.x; v < vectors; v += kElementThreads) update<kVectorFloats>(options, p, v * kVectorFloats);
  for (std::int64_t i = vectors * kVectorFloats + threadIdx.x; i < p.size; i += kElementThreads) update<1>(options, p, i);
}

void sgd_step(std::int64_t size, const SgdOptions& options, const float* gradient, float* velocity, float* weight,
              simt::NativeStream stream) {
  if (size == 0) return;
  simt::launch("sgd", element_grid(size), stream, &sgd_kernel, SgdParameter{weight, velocity, gradient, size}, options);
}

void sgd_step_all(const SgdTable& table, simt::NativeStream stream) {
  if (table.chunk_count == 0) return;
  simt::launch("sgd of all parameters", {static_cast<unsigned>(table.chunk_count), kElementThreads}, stream,
               &sgd_all_kernel, table);
}

const bool registered = register_kernel<SgdStep>(Backend::kCuda, &sgd_step) && register_kernel<SgdStepAll>(Backend::kCuda, &sgd_step_all);

}  // namespace
}  // namespace hinge::kernels::cuda
