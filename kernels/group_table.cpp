#include "kernels/group_table.h"

#include <stdexcept>
#include <string>

namespace hinge::kernels {
GroupTables::GroupTables(const std::vector<GroupSetSpec>& sets, simt::NativeStream stream) : stream_(stream) {
  const GroupLayout layout = group_layout(sets);
  const auto count = static_cast<std::int64_t>(sets.size());
  tasks_ = simt::Buffer<GroupTask>(layout.tasks, stream);
  parts_ = simt::Buffer<GroupPart>(layout.parts, stream);
  first_task_ = simt::Buffer<int>(layout.first_task, stream);
  gammas_ = simt::Buffer<double>(layout.gammas, stream);
  steps_ = simt::Buffer<double>(std::vector<double>(sets.size(), 0.0), stream);
  zeros_ = simt::Buffer<int>(count, stream);
  penalty_ = simt::Buffer<double>(count, stream);
  task_zeros_ = simt::Buffer<int>(tasks_.size(), stream);
  task_penalty_ = simt::Buffer<double>(tasks_.size(), stream);
  norms_ = simt::Buffer<float>(layout.groups, stream);
  ticket_ = simt::Buffer<unsigned>(std::vector<unsigned>{0}, stream);
}

void GroupTables::set_steps(const std::vector<double>& steps) {
  if (static_cast<std::int64_t>(steps.size()) != steps_.size()) {
    throw std::runtime_error("group table: " + std::to_string(steps.size()) + " steps for " +
                             std::to_string(steps_.size()) + " sets");
  }
  simt::copy_in(steps_.data(), steps.data(), steps.size() * sizeof(double), stream_);
}

GroupTable GroupTables::table() {
  return {.tasks = tasks_.data(),
          .parts = parts_.data(),
          .first_task = first_task_.data(),
          .gammas = gammas_.data(),
          .steps = steps_.data(),
          .task_count = static_cast<int>(tasks_.size()),
          .set_count = static_cast<int>(gammas_.size()),
          .norms = norms_.data(),
          .penalty = penalty_.data(),
          .zeros = zeros_.data(),
          .task_penalty = task_penalty_.data(),
          .task_zeros = task_zeros_.data(),
          .ticket = ticket_.data()};
}

}  // namespace hinge::kernels
