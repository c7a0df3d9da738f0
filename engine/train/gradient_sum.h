// Tensors added up over the ranks of a group, in buckets: gradients while the backward pass goes on, running statistics behind it.
//
// Tensors are copied into buckets in the order in which they become ready, the last layers' gradients first; a full bucket's sum is
// started at once and runs beside the layers that are still to come (Li et al., "PyTorch Distributed", VLDB 2020, section 3.2.3).
// Every rank fills the same buckets: the order is the tape's.
#pragma once

#include <vector>

#include "engine/core/tensor_sums.h"

namespace hinge {

class GradientSum {
 public:
  static constexpr std::int64_t kBucket = 1 << 16;        // floats, 256 KiB: ResNet-20 has five, ResNet-56 fourteen
  static constexpr std::int64_t kDeviceBucket = 1 << 21;  // of a GPU, 8 MiB, as a sum's start costs some 10 us: ResNet-50 has 13

  // A `bucket` of 0 floats: the device's.
  GradientSum(TensorSums& sums, const Stream& stream, SumPrecision precision = SumPrecision::kFloat32, std::int64_t bucket = 0)
      : sums_(sums), stream_(stream), precision_(precision), size_(bucket > 0 ? bucket : stream.device().is_cpu() ? kBucket
                                                                                                                  : kDeviceBucket) {}

  // Tensor `i`, on the stream's device, as this rank has it; it may change afterwards.
  void ready(std::size_t i, const Tensor& tensor);
  // Those of `tensors` that were not ready yet join; then all are the sums, in memory of their own.
  void finish(std::vector<Tensor>& tensors);

 private:
  struct Part {
    std::size_t tensor;
    std::int64_t begin, size;
  };
  struct Bucket {
    Tensor values;
    std::int64_t used = 0;
    std::vector<Part> parts;
    bool started = false;
  };
  void start();

  TensorSums& sums_;
  Stream stream_;
  SumPrecision precision_;
  std::int64_t size_;
  std::vector<Bucket> buckets_;  // all but the last are underway
};

}  // namespace hinge
