// The proximal step of many sets on the CPU, side by side on OpenMP's threads: each takes its share of every set's groups.
//
// A network's matrices are small: ResNet-56 has 55 of 2 to 147 kB. Stepped one after the other, each would wake the threads
// twice, and scaling a large one wouldn't find in the cache what the norms have read. Each group's arithmetic is what
// Regularizer::prox does: the bits don't depend on the number of threads.
#pragma once

#include <span>
#include <vector>

#include "compress/regularizer.h"

namespace hinge::compress {

struct SetStep {
  std::span<const kernels::GroupView> parts;  // in the CPU's memory, as Regularizer::prox takes them
  double step = 0.0;
};

// norms[set][group] before the step. The sets share no element (launch_of_sets tells which do).
std::vector<std::vector<float>> prox_sets(const Regularizer& regularizer, std::span<const SetStep> sets);

}  // namespace hinge::compress
