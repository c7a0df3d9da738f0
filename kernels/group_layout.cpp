// Which blocks do which groups: the decision behind a table of groups, in plain numbers.
#include <algorithm>
#include <stdexcept>
#include <string>

#include "kernels/group_table.h"

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

GroupLayout group_layout(std::span<const GroupSetSpec> sets) {
  GroupLayout layout;
  for (const GroupSetSpec& spec : sets) {
    const std::vector<GroupTask> own = group_tasks(spec, static_cast<int>(layout.gammas.size()), static_cast<int>(layout.parts.size()), layout.groups);
    layout.tasks.insert(layout.tasks.end(), own.begin(), own.end());
    layout.parts.insert(layout.parts.end(), spec.parts.begin(), spec.parts.end());
    layout.first_task.push_back(static_cast<int>(layout.tasks.size()));
    layout.gammas.push_back(spec.gamma);
    layout.groups += spec.groups;
  }
  return layout;
}

}  // namespace hinge::kernels
