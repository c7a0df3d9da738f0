// Norms and scaling of the groups of one matrix: the two halves of a proximal step whose middle is elsewhere.
#include "kernels/group_prox.h"

#include <vector>

#include "kernels/device/groups.cuh"
#include "kernels/registry.h"

namespace hinge::kernels::cuda {
namespace {

using namespace device;

struct WriteNorm {
  static constexpr bool kNeedsNorm = true;
  float* norms;
  __device__ float operator()(double squares, std::int64_t group, bool leader) {
    if (leader) norms[group] = static_cast<float>(sqrt(squares));
    return 1.0f;
  }
};
struct GivenScale {
  static constexpr bool kNeedsNorm = false;
  const float* scales;
  __device__ float operator()(double, std::int64_t group, bool) { return scales[group]; }
};

// Block b does groups [b * per_block, ...) of `whole`.
template <class Rule>
__global__ void __launch_bounds__(kGroupThreads) one_matrix_kernel(GroupTask whole, std::int64_t per_block, Rule rule) {
  GroupTask task = whole;
  task.first_group = blockIdx.x * per_block;
  task.groups = min(per_block, whole.set_groups - task.first_group);
  for_groups(task, static_cast<const GroupPart*>(nullptr), StoredWeights{}, rule);
}

template <class Rule>
void over_matrix(const char* name, const GroupView& w, const Rule& rule, simt::NativeStream stream) {
  const GroupSetSpec spec{{{w.data, w.size, w.group_stride, w.element_stride}}, w.groups, 1.0};
  const std::vector<GroupTask> tasks = group_tasks(spec, 0, 0, 0);
  if (tasks.empty()) return;
  simt::launch(name, {static_cast<unsigned>(tasks.size()), kGroupThreads}, stream, &one_matrix_kernel<Rule>, tasks[0],
               tasks[0].groups, rule);
}

void group_norms(const GroupView& w, float* norms, simt::NativeStream stream) {
  over_matrix("group norms", w, WriteNorm{norms}, stream);
}
void group_scale(const GroupView& w, const float* scales, simt::NativeStream stream) {
  over_matrix("group scale", w, GivenScale{scales}, stream);
}

const bool registered = register_kernel<GroupNorms>(Backend::kCuda, &group_norms) &&
                        register_kernel<GroupScale>(Backend::kCuda, &group_scale);

}  // namespace
}  // namespace hinge::kernels::cuda
