// The proximal step of a whole network in one launch: group norms, shrinkage, and what there is to know about them.
//
//   n_g = ||W_g||,   W_g <- shrink(n_g, step_s) W_g                           for every group g of every set s
//   norms[g] = n_g,  penalty[s] = gamma_s sum_g value(n_g),  zeros[s] = #{g : shrink = 0}
//
// Penalty: a trivially copyable struct with
//   SIMT_HOST_DEVICE double value(double norm) const;
//   SIMT_HOST_DEVICE double shrink(double norm, double step) const;   x*/norm in [0, 1], 0 for norm 0
// Norms are summed in double and rounded to float before they are shrunk, as on the CPU.
//
// Li et al., CVPR 2020, section 4; Parikh & Boyd, "Proximal algorithms", 2014, section 6.5.4.
//
// One block per task of the table (group_table.h). Blocks leave their share of the penalty; the last one to finish adds
// them up, one warp per set, in the tasks' order: the result is the same in every run.
#pragma once

#include "kernels/device/groups.cuh"

namespace hinge::kernels {

namespace device {

template <class Penalty>
struct Shrinkage {
  static constexpr bool kNeedsNorm = true;
  Penalty penalty;
  double step;
  float* norms;  // of the set
  double value = 0.0;
  int zeros = 0;

  __device__ float operator()(double squares, std::int64_t group, bool leader) {
    const auto norm = static_cast<float>(sqrt(squares));
    const auto scale = static_cast<float>(penalty.shrink(static_cast<double>(norm), step));
    if (leader) {
      norms[group] = norm;
      value += penalty.value(static_cast<double>(norm));
      zeros += scale == 0.0f;
    }
    return scale;
  }
};

// Leaves this block's share of the by-products; the last block adds up those of all.
inline __device__ void finish_by_products(const GroupTable& table, double value, int zeros) {
  value = block_sum(value);
  zeros = block_sum(zeros);
  unsigned place = 0;
  if (threadIdx.x == 0) {
    table.task_penalty[blockIdx.x] = value;
    table.task_zeros[blockIdx.x] = zeros;
    __threadfence();
    place = atomicInc(table.ticket, gridDim.x - 1);
    __threadfence();
  }
  if (block_broadcast(place) != gridDim.x - 1) return;
  const unsigned lane = threadIdx.x % simt::kWarpSize;
  for (int set = static_cast<int>(threadIdx.x / simt::kWarpSize); set < table.set_count;
       set += static_cast<int>(blockDim.x / simt::kWarpSize)) {
    double total = 0.0;
    int count = 0;
    for (int task = table.first_task[set] + static_cast<int>(lane); task < table.first_task[set + 1]; task += 32) {
      total += table.task_penalty[task];
      count += table.task_zeros[task];
    }
    total = warp_sum(total);
    count = warp_sum(count);
    if (lane == 0) {
      table.penalty[set] = table.gammas[set] * total;
      table.zeros[set] = count;
    }
  }
}

template <class Elements, class Penalty>
__global__ void __launch_bounds__(kGroupThreads) group_prox_kernel(GroupTable table, Elements elements, Penalty penalty) {
  const GroupTask task = table.tasks[blockIdx.x];
  Shrinkage<Penalty> rule{penalty, table.steps[task.set], table.norms + task.first_norm};
  for_groups(task, table.parts, elements, rule);
  finish_by_products(table, rule.value, rule.zeros);
}

}  // namespace device

template <class Penalty>
void group_prox(const GroupTable& table, const Penalty& penalty, simt::NativeStream stream) {
  if (table.task_count == 0) return;
  simt::launch("group prox", {static_cast<unsigned>(table.task_count), device::kGroupThreads}, stream,
               &device::group_prox_kernel<device::StoredWeights, Penalty>, table, device::StoredWeights{}, penalty);
}

// The step of SGD on the groups' elements first, in the same pass. `options` [parameters] lies in GPU memory.
template <class Penalty>
void sgd_group_prox(const GroupTable& table, const SgdOptions* options, const Penalty& penalty,
                    simt::NativeStream stream) {
  if (table.task_count == 0) return;
  simt::launch("sgd and group prox", {static_cast<unsigned>(table.task_count), device::kGroupThreads}, stream,
               &device::group_prox_kernel<device::SgdWeights, Penalty>, table, device::SgdWeights{options}, penalty);
}

}  // namespace hinge::kernels
