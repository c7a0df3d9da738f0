// Sums over the GPUs of several processes, queued on a stream; for code without CUDA's and NCCL's headers.
//
// Implemented twice, as device.h: over NCCL (kernels/cuda/group_sums.cpp), which is loaded when it is first needed, and by the
// emulator, whose device is alone until a test says what the others would add.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/simt/native_stream.h"

namespace simt {

// "" where GPUs can add up among themselves, else what is missing.
std::string why_no_group_sums();

// Names a group that is about to meet: made by one of its processes, and passed to the others as bytes.
using GroupId = std::array<char, 128>;
GroupId make_group_id();

class GroupSums {
 public:
  virtual ~GroupSums() = default;
  // values[i] becomes its sum over all processes, behind what is queued on `stream` by now and beside what is queued on it
  // afterwards. Every process starts the same sums in the same order. Can be captured in a graph, join() too.
  virtual void start(float* values, std::size_t count, NativeStream stream) = 0;
  // The same of bfloat16, as kernels/bfloat16.h has it; added in it too.
  virtual void start(std::uint16_t* values, std::size_t count, NativeStream stream) = 0;
  // What is queued on `stream` from here on comes behind the sums.
  virtual void join(NativeStream stream) = 0;
};

// Waits for all `size` processes, each with a GPU of its own. Throws std::runtime_error.
std::unique_ptr<GroupSums> join_group(const GroupId& id, int rank, int size, int device);

}  // namespace simt
