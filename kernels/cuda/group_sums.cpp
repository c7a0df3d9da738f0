// Sums run on a stream of their own, which forks off the caller's and joins it again: beside the backward pass, and, in a capture, as
// a branch of the graph.
#include "kernels/simt/group_sums.h"

#include <stdexcept>

#if __has_include(<nccl.h>)
#include <cstring>

#include "kernels/cuda/nccl.h"
#include "kernels/cuda/status.h"

namespace simt {
namespace {

using hinge::kernels::cuda::check;
using hinge::kernels::cuda::nccl;

static_assert(sizeof(GroupId) == sizeof(ncclUniqueId));

// An order between streams, without a time.
class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&native_, cudaEventDisableTiming), "event"); }
  ~Event() { cudaEventDestroy(native_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  // What is queued on `after` from here on waits for what is queued on `before` by now.
  void order(cudaStream_t before, cudaStream_t after) {
    check(cudaEventRecord(native_, before), "event");
    check(cudaStreamWaitEvent(after, native_, 0), "event");
  }

 private:
  cudaEvent_t native_ = nullptr;
};

class SideStream {
 public:
  SideStream() {
    // Ahead of the backward pass where both want the processors: the optimiser waits for the last sum.
    int least = 0, greatest = 0;
    check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "stream");
    check(cudaStreamCreateWithPriority(&native_, cudaStreamNonBlocking, greatest), "stream");
  }
  ~SideStream() { cudaStreamDestroy(native_); }
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;
  cudaStream_t native() const { return native_; }

 private:
  cudaStream_t native_ = nullptr;
};

class NcclSums final : public GroupSums {
 public:
  NcclSums(const ncclUniqueId& id, int rank, int size) : communicator_(id, rank, size) {}

  void start(float* values, std::size_t count, NativeStream stream) override { start_any(values, count, ncclFloat, stream); }
  void start(std::uint16_t* values, std::size_t count, NativeStream stream) override { start_any(values, count, ncclBfloat16, stream); }
  void join(NativeStream stream) override {
    if (!started_) return;
    join_.order(side_.native(), stream);
    started_ = false;
  }

 private:
  void start_any(void* values, std::size_t count, ncclDataType_t type, NativeStream stream) {
    fork_.order(stream, side_.native());
    check(nccl().all_reduce(values, values, count, type, ncclSum, communicator_.native(), side_.native()), "NCCL: a sum");
    started_ = true;
  }

  bool started_ = false;
  Event fork_, join_;
  SideStream side_;
  hinge::kernels::cuda::NcclCommunicator communicator_;  // goes first, and ends what is underway: the other ranks may not come to it
};

}  // namespace

std::string why_no_group_sums() {
  try {
    nccl();
    return "";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

GroupId make_group_id() {
  ncclUniqueId made{};
  check(nccl().unique_id(&made), "NCCL: naming a group");
  GroupId id{};
  std::memcpy(id.data(), &made, sizeof made);
  return id;
}

std::unique_ptr<GroupSums> join_group(const GroupId& id, int rank, int size, int device) {
  check(cudaSetDevice(device), "GPU");
  ncclUniqueId of_nccl{};
  std::memcpy(&of_nccl, id.data(), sizeof of_nccl);
  return std::make_unique<NcclSums>(of_nccl, rank, size);
}

}  // namespace simt

#else

namespace simt {

std::string why_no_group_sums() { return "hinge was built without NCCL's headers (libnccl-dev)"; }
GroupId make_group_id() { throw std::runtime_error(why_no_group_sums()); }
std::unique_ptr<GroupSums> join_group(const GroupId&, int, int, int) { throw std::runtime_error(why_no_group_sums()); }

}  // namespace simt

#endif
