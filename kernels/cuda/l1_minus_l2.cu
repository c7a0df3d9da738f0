// See l1_minus_l2.h for the maths.
//
// A cooperative launch, because the second phase needs all norms of a set: blocks stride over the tasks and write norms,
// wait for the grid, and stride over the tasks again. Every block then reduces the norms of its task's set itself
// (2,048 norms are 8 KiB from the second-level cache), which costs less than a second barrier.
#include "kernels/l1_minus_l2.h"

#include "kernels/device/groups.cuh"

namespace hinge::kernels::cuda {
namespace {

using namespace device;

struct Measure {
  static constexpr bool kNeedsNorm = true;
  float* norms;
  __device__ float operator()(double squares, std::int64_t group, bool leader) {
    if (leader) norms[group] = static_cast<float>(sqrt(squares));
    return 1.0f;
  }
};

// Norms are not negative, so their bits are in their order; of equal norms the first group has the larger key.
__device__ unsigned long long key_of(float norm, std::int64_t group) {
  return static_cast<unsigned long long>(__float_as_uint(norm)) << 32 | (0xffffffffu - static_cast<unsigned>(group));
}
__device__ int group_of(unsigned long long key) { return static_cast<int>(0xffffffffu - static_cast<unsigned>(key)); }

struct SetShrinkage {
  static constexpr bool kNeedsNorm = false;
  const float* norms;
  double step, z_norm;
  int survivor;
  __device__ float operator()(double, std::int64_t group, bool) {
    const auto norm = static_cast<double>(norms[group]);
    if (z_norm == 0.0) return group == survivor ? 1.0f : 0.0f;
    const double z = norm - step;
    return z > 0.0 ? static_cast<float>(z * (1.0 + step / z_norm) / norm) : 0.0f;
  }
};

__global__ void __launch_bounds__(kGroupThreads) l1_minus_l2_kernel(GroupTable table) {
  for (int t = static_cast<int>(blockIdx.x); t < table.task_count; t += static_cast<int>(gridDim.x)) {
    const GroupTask task = table.tasks[t];
    Measure measure{table.norms + task.first_norm};
    for_groups(task, table.parts, StoredWeights{}, measure);
  }
  simt::grid_barrier();
  for (int t = static_cast<int>(blockIdx.x); t < table.task_count; t += static_cast<int>(gridDim.x)) {
    const GroupTask task = table.tasks[t];
    const float* norms = table.norms + task.first_norm;
    const double step = table.steps[task.set];
    double sum = 0.0, squares = 0.0, z_squares = 0.0;
    int positive = 0;
    unsigned long long largest = 0;
    for (std::int64_t g = threadIdx.x; g < task.set_groups; g += blockDim.x) {
      const auto norm = static_cast<double>(norms[g]);
      const double z = max(norm - step, 0.0);
      sum += norm;
      squares += norm * norm;
      z_squares += z * z;
      positive += z > 0.0;
      largest = max(largest, key_of(norms[g], g));
    }
    const double z_norm = sqrt(block_sum(z_squares));
    largest = block_reduce(largest, Larger());
    SetShrinkage rule{norms, step, z_norm, group_of(largest)};
    for_groups(task, table.parts, StoredWeights{}, rule);
    if (t != table.first_task[task.set]) continue;  // one block per set tells about it; the whole block goes on alike
    sum = block_sum(sum);
    squares = block_sum(squares);
    positive = block_sum(positive);
    if (threadIdx.x == 0) {
      table.penalty[task.set] = table.gammas[task.set] * (sum - sqrt(squares));
      const int alive = largest >> 32 != 0 ? max(positive, 1) : 0;
      table.zeros[task.set] = static_cast<int>(task.set_groups) - alive;
    }
  }
}

}  // namespace

void l1_minus_l2_prox(const GroupTable& table, simt::NativeStream stream) {
  if (table.task_count == 0) return;
  const int resident = simt::resident_blocks(&l1_minus_l2_kernel, kGroupThreads);
  const unsigned blocks = simt::blocks_for(table.task_count, 1, resident);
  simt::launch("l1 - l2 prox", {blocks, kGroupThreads, 0, true}, stream, &l1_minus_l2_kernel, table);
}

}  // namespace hinge::kernels::cuda
