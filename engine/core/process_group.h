// The processes that train one network together, one device each: what a rank of them may ask of the others.
//
// Every rank calls the same operations in the same order. A sum has the same bits on every rank, so whatever is a function of
// sums alone (weights, thresholds, plans) stays the same everywhere. Ranks by MPI: engine/parallel/mpi_group.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>

namespace hinge {

// What sums of gradients travel as. Rounded to bfloat16 (kernels/bfloat16.h) they are half the bytes: each rank's numbers by up to
// 2^-8 of themselves, the sum once more; on GPUs, whose library adds in bfloat16, once for each rank.
enum class SumPrecision { kFloat32,
                          kBfloat16 };

class ProcessGroup {
 public:
  // A sum that was started. Its numbers are nobody's until wait() returns.
  class Pending {
   public:
    virtual ~Pending() = default;
    virtual void wait() = 0;
  };

  virtual ~ProcessGroup() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // values[i] becomes its sum over all ranks. Throws Error where a rank doesn't come.
  virtual void sum(std::span<double> values) = 0;
  // The same, in the background; `values` must live until it is waited for.
  // `owner`, of the memory, is kept until nobody needs it any more.
  virtual std::unique_ptr<Pending> start_sum(std::span<float> values, SumPrecision precision, std::shared_ptr<const void> owner) = 0;
  // Gives sums that were started a moment of this thread.
  virtual void progress() {}
  // Waits for what needs the other ranks without being asked of them here, such as a GPU's sum, by the clock that the others' sums
  // are waited for by.
  virtual void wait_until(const char* /*what*/, const std::function<bool()>& done) {
    while (!done()) std::this_thread::yield();
  }
  // How long a rank may be waited for.
  virtual void set_timeout(double /*seconds*/) {}
  // What `root` passes; what the others pass is ignored.
  virtual std::string broadcast(std::string bytes, int root) = 0;
};

// The part of `count` things that is rank `rank`'s of `size`: contiguous, in the order of ranks, sizes differ by one at most.
struct Slice {
  std::int64_t begin = 0, end = 0;
  std::int64_t count() const { return end - begin; }
};
inline Slice slice_of(std::int64_t count, int rank, int size) { return {count * rank / size, count * (rank + 1) / size}; }
inline Slice slice_of(std::int64_t count, const ProcessGroup* group) {
  return group == nullptr ? Slice{0, count} : slice_of(count, group->rank(), group->size());
}

}  // namespace hinge
