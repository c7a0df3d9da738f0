// How long kernels take, and what the machine can do at most.
#pragma once

#include "tools/bench/kernel_case.h"

namespace hinge::bench {

// The two ceilings of the roofline, measured, not read off a data sheet.
struct Machine {
  std::string name;
  double copy_bytes_per_second = 0.0;  // bytes read plus bytes written, by the fastest copy of arrays beyond the cache
  double flops_per_second = 0.0;       // CPU: fused multiply-adds in registers on all threads; GPU: the library's matrix product
};
Machine measure_machine(Device device);

struct Timing {
  std::string name, family;
  double bytes = 0.0, flops = 0.0;
  double seconds = 0.0;  // of one call: the median
  double spread = 0.0;   // (third quartile - first quartile) / median
  int sets = 0;          // sets of operands that took turns
  double bytes_per_second() const { return bytes / seconds; }
  double flops_per_second() const { return flops / seconds; }
  // Seconds that the machine needs at least, over those taken.
  double share_of_roof(const Machine& machine) const;
  bool bound_by_memory(const Machine& machine) const;
};

struct MeasureOptions {
  double seconds = 0.3;      // that each case is run for, at least
  double cache_bytes = 0.0;  // operands of all sets together are at least that large, where they can; 0: twice the last
                             // level of this processor's cache, or 128 MiB for a GPU (the largest have 60)
};

// Checks the first set's result, then times calls on all sets in turn. Throws Error where the result is wrong: a wrong
// kernel has no time.
Timing time_case(const KernelCase& kernel, Device device, const MeasureOptions& options);

}  // namespace hinge::bench
