#include "kernels/group_table.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace hinge::kernels {
namespace {

constexpr std::int64_t kWarpElements = 1024;  // what a warp keeps in registers: 32 lanes, 8 vectors each
constexpr std::int64_t kMostTasks = 2048;     // of one set: enough for any GPU, few enough to add up at the end

bool contiguous(const GroupPart& part) {
  return (part.element_stride == 1 && part.run == 1) || part.run >= part.size;
}

GroupMapping mapping_of(const GroupSetSpec& spec) {
  bool neighbours = true, whole = true;
  std::int64_t size = 0;
  for (const GroupPart& part : spec.parts) {
    neighbours = neighbours && part.group_stride == 1 && part.run == 1;
    whole = whole && contiguous(part);
    size += part.size;
  }
  if (neighbours) return GroupMapping::kLane;
  return whole && size <= kWarpElements ? GroupMapping::kWarp : GroupMapping::kBlock;
}

}  // namespace

std::vector<GroupTask> group_tasks(const GroupSetSpec& spec, int set, int first_part, std::int64_t first_norm) {
  if (spec.parts.empty()) throw std::runtime_error("group table: set " + std::to_string(set) + " has no parts");
  const GroupMapping mapping = mapping_of(spec);
  const std::int64_t at_once = mapping == GroupMapping::kLane ? 32 : mapping == GroupMapping::kWarp ? 8
                                                                                                    : 1;
  std::int64_t per_task = at_once;
  while ((spec.groups + per_task - 1) / per_task > kMostTasks) per_task += at_once;

  std::vector<GroupTask> tasks;
  for (std::int64_t g = 0; g < spec.groups; g += per_task) {
    tasks.push_back({.part = spec.parts[0],
                     .first_group = g,
                     .groups = std::min(per_task, spec.groups - g),
                     .first_norm = first_norm,
                     .set_groups = spec.groups,
                     .set = set,
                     .first_part = first_part,
                     .parts = static_cast<int>(spec.parts.size()),
                     .mapping = mapping});
  }
  return tasks;
}

GroupTables::GroupTables(const std::vector<GroupSetSpec>& sets, simt::NativeStream stream) : stream_(stream) {
  std::vector<GroupTask> tasks;
  std::vector<GroupPart> parts;
  std::vector<int> first_task = {0};
  std::vector<double> gammas;
  std::int64_t groups = 0;
  for (const GroupSetSpec& spec : sets) {
    const std::vector<GroupTask> own =
        group_tasks(spec, static_cast<int>(gammas.size()), static_cast<int>(parts.size()), groups);
    tasks.insert(tasks.end(), own.begin(), own.end());
    parts.insert(parts.end(), spec.parts.begin(), spec.parts.end());
    first_task.push_back(static_cast<int>(tasks.size()));
    gammas.push_back(spec.gamma);
    groups += spec.groups;
  }
  const auto count = static_cast<std::int64_t>(sets.size());
  tasks_ = simt::Buffer<GroupTask>(tasks, stream);
  parts_ = simt::Buffer<GroupPart>(parts, stream);
  first_task_ = simt::Buffer<int>(first_task, stream);
  gammas_ = simt::Buffer<double>(gammas, stream);
  steps_ = simt::Buffer<double>(std::vector<double>(sets.size(), 0.0), stream);
  zeros_ = simt::Buffer<int>(count, stream);
  penalty_ = simt::Buffer<double>(count, stream);
  task_zeros_ = simt::Buffer<int>(tasks_.size(), stream);
  task_penalty_ = simt::Buffer<double>(tasks_.size(), stream);
  norms_ = simt::Buffer<float>(groups, stream);
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
