// Gradients added up over the ranks of a group while the backward pass goes on.
//
// Gradients are copied into buckets in the order in which they become ready, the last layers' first; a full bucket's sum is
// started at once and runs beside the layers that are still to come (Li et al., "PyTorch Distributed", VLDB 2020, section 3.2.3).
// Every rank fills the same buckets: the order is the tape's.
#pragma once

#include <memory>
#include <vector>

#include "engine/core/process_group.h"
#include "engine/core/tensor.h"

namespace hinge {

class GradientSum {
 public:
  static constexpr std::int64_t kBucket = 1 << 18;  // floats, 1 MiB: ResNet-20 has one, ResNet-56 four

  explicit GradientSum(ProcessGroup& group, std::int64_t bucket = kBucket) : group_(group), size_(bucket) {}

  // The gradient of leaf `i` as this rank has it; it may change afterwards. On the CPU.
  void ready(std::size_t i, const Tensor& gradient);
  // What was not ready yet joins; then gradients[i] are the sums.
  void finish(std::vector<Tensor>& gradients);

 private:
  struct Part {
    std::size_t leaf;
    std::int64_t begin, size;
  };
  struct Bucket {
    std::vector<float> values;
    std::vector<Part> parts;
    std::unique_ptr<ProcessGroup::Pending> sum;
  };
  void start();

  ProcessGroup& group_;
  std::int64_t size_;
  std::vector<std::unique_ptr<Bucket>> buckets_;  // all but the last are underway
};

}  // namespace hinge
