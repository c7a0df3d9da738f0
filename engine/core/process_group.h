// The processes that train one network together, one device each: what a rank of them may ask of the others.
//
// Every rank calls the same operations in the same order. A sum has the same bits on every rank, so whatever is a function of
// sums alone (weights, thresholds, plans) stays the same everywhere. Ranks by MPI: engine/parallel/mpi_group.h.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace hinge {

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
  virtual std::unique_ptr<Pending> start_sum(std::span<float> values) = 0;
  // Gives sums that were started a moment of this thread.
  virtual void progress() {}
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
