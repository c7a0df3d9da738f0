// The proximal step of a whole network on a GPU: one launch, its tables kept in the GPU's memory.
//
// The groups of one launch must not overlap. Sets that share a parameter (rows and columns of one matrix) are taken in
// launches of their own, one behind the other, in the order of the sets: the sequential step of proximal.h.
#pragma once

#include <vector>

#include "compress/regularizer.h"
#include "engine/core/tensor.h"
#include "kernels/group_table.h"

namespace hinge::compress {

// wave[i]: the launch that takes set i, given the parameters each set lies in; 0 is the first. A set comes after all
// earlier sets that it shares a parameter with. On the CPU a launch is a call of prox_sets.
std::vector<int> launch_of_sets(const std::vector<std::vector<const void*>>& parameters_of_set);

class FusedProx {
 public:
  // parts[i] of set i point into GPU memory, where they must stay; waves as launch_of_sets gives them.
  FusedProx(const std::vector<std::vector<kernels::GroupView>>& parts, const std::vector<int>& waves, const Stream& stream);

  // Queues the step: set i with steps[i], gammas[i] weighs its penalty. The two halves: what changes is sent, then the
  // launches, which a graph may capture.
  void step(const Regularizer& regularizer, const std::vector<double>& gammas, const std::vector<double>& steps) {
    send(gammas, steps);
    queue(regularizer);
  }
  void send(const std::vector<double>& gammas, const std::vector<double>& steps);
  void queue(const Regularizer& regularizer);
  // sum_i gammas[i] R(norms of set i) before the last step; waits for it.
  double penalty() const;
  std::size_t launches() const { return launches_.size(); }

 private:
  struct Launch {
    std::vector<std::size_t> sets;
    Tensor tasks, parts, first_task, gammas, steps, norms, penalty, zeros, task_penalty, task_zeros, ticket;
    kernels::GroupTable table();
  };
  Stream stream_;
  std::vector<Launch> launches_;
};

}  // namespace hinge::compress
