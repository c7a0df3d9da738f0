// Which groups the proximal step of a whole network works on, as a table that a kernel reads.
//
// A set is one layer's groups; a group has one or more parts, strided slices of tensors. Element j of group g of a part is
//   data[g * group_stride + (j / run) * element_stride + j % run]
//
//   filter i of [K, R, S, C], a column of the matrix      size RSC,  group_stride RSC,  element_stride 1
//   input channel i of A [K, 1, 1, rank], a row           size K,    group_stride 1,    element_stride rank
//   ResNeXt's group of m channels: m filters of conv1     size m C,  group_stride m C,  element_stride 1
//     and m input channels of conv3 [K, 1, 1, W]          size m K,  group_stride m,    element_stride W, run m
//
// The groups of one table must not overlap.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/simt/memory.h"

namespace hinge::kernels {

struct GroupPart {
  float* data = nullptr;
  std::int64_t size = 0, group_stride = 0, element_stride = 1, run = 1;
  // For SGD fused with the proximal step: laid out as the data. `parameter` indexes the options.
  const float* gradient = nullptr;
  float* velocity = nullptr;
  int parameter = 0;
};

// How a block's threads share groups.
enum class GroupMapping : int {
  kLane,   // neighbours in memory: one lane per group, the warps share the elements
  kWarp,   // contiguous and short: one warp per group
  kBlock,  // the rest
};

// What one block does. The first part stands in the task itself: most sets have no other, and it is one read fewer.
struct GroupTask {
  GroupPart part;
  std::int64_t first_group = 0, groups = 0;  // of the set
  std::int64_t first_norm = 0;               // where the set's norms begin
  std::int64_t set_groups = 0;
  int set = 0;
  int first_part = 0, parts = 1;  // all parts, in `parts` of the table
  GroupMapping mapping = GroupMapping::kBlock;
};

// Pointers to GPU memory, as a kernel takes them.
struct GroupTable {
  const GroupTask* tasks = nullptr;
  const GroupPart* parts = nullptr;
  const int* first_task = nullptr;  // [sets + 1]
  const double* gammas = nullptr;   // [sets] weight of the set in the penalty
  const double* steps = nullptr;    // [sets] step of the proximal operator
  int task_count = 0, set_count = 0;
  // Results.
  float* norms = nullptr;          // [groups of all sets] before the step
  double* penalty = nullptr;       // [sets] gamma * sum of value(norm), before the step
  int* zeros = nullptr;            // [sets] groups that are zero after the step
  double* task_penalty = nullptr;  // [tasks]
  int* task_zeros = nullptr;       // [tasks]
  unsigned* ticket = nullptr;      // 0 between launches
};

struct GroupSetSpec {
  std::vector<GroupPart> parts;
  std::int64_t groups = 0;
  double gamma = 1.0;
};

// The table's contents before they lie in GPU memory.
struct GroupLayout {
  std::vector<GroupTask> tasks;
  std::vector<GroupPart> parts;
  std::vector<int> first_task = {0};  // [sets + 1]
  std::vector<double> gammas;
  std::int64_t groups = 0;  // of all sets
};
GroupLayout group_layout(std::span<const GroupSetSpec> sets);

// Decides how blocks share the work, once per network shape, and holds the table in GPU memory.
class GroupTables {
 public:
  GroupTables(const std::vector<GroupSetSpec>& sets, simt::NativeStream stream);

  // One per set; queued on the stream, read by the next launch.
  void set_steps(const std::vector<double>& steps);
  GroupTable table();

  std::vector<float> norms() const { return norms_.to_host(); }
  std::vector<double> penalties() const { return penalty_.to_host(); }
  std::vector<int> zeros() const { return zeros_.to_host(); }

 private:
  simt::NativeStream stream_;
  simt::Buffer<GroupTask> tasks_;
  simt::Buffer<GroupPart> parts_;
  simt::Buffer<int> first_task_, zeros_, task_zeros_;
  simt::Buffer<double> gammas_, steps_, penalty_, task_penalty_;
  simt::Buffer<float> norms_;
  simt::Buffer<unsigned> ticket_;
};

// The tasks of one set; exposed for kernels on a single matrix.
std::vector<GroupTask> group_tasks(const GroupSetSpec& spec, int set, int first_part, std::int64_t first_norm);

}  // namespace hinge::kernels
