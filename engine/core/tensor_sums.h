// Sums of tensors over the ranks of a group, where the tensors lie.
//
// On the CPU a sum is the group's own. On a GPU it is queued behind the work that makes its tensor and runs beside what is queued
// later, if the device has a way of its own (Accelerator::sums); else the tensor passes through the host's memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/core/process_group.h"
#include "engine/core/tensor.h"

namespace hinge {

class TensorSums {
 public:
  virtual ~TensorSums() = default;
  // Begins to add up the first `count` elements of `values` (float32), in place, behind what is queued on `stream` by now. Nobody
  // may touch them before join(). Every rank starts the same sums in the same order.
  virtual void start(const Tensor& values, std::int64_t count, SumPrecision precision, const Stream& stream) = 0;
  // What is done, or queued on `stream`, from here on finds the sums.
  virtual void join(const Stream& stream) = 0;
  // Gives sums that were started a moment of this thread.
  virtual void progress() {}
  // Why they can't be part of a captured graph; "" if they can.
  virtual std::string refusal() const = 0;
};

// Through the host's memory; serves every device and group. `group` must outlive it. `why` there is no better way, for people.
std::unique_ptr<TensorSums> sums_by_host(ProcessGroup& group, std::string why = "");
// The device's own way where it has one, else sums_by_host.
std::unique_ptr<TensorSums> make_sums(ProcessGroup& group, Device device);

}  // namespace hinge
