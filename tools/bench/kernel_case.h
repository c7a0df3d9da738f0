// A kernel with operands of one size: what hinge-bench times and what the tests check, from one list.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace hinge::bench {

// One set of operands. Several are made of a case, so that a run doesn't find its data in the cache.
class CaseRun {
 public:
  virtual ~CaseRun() = default;
  virtual void run(const Stream& stream) = 0;
  // Compares the results of the last run with float64 loops; "" if they agree, else what differs and by how much.
  virtual std::string check() = 0;
};

struct KernelCase {
  std::string name;    // "relu 2097152"
  std::string family;  // "elementwise": a colour of the roofline
  double bytes = 0.0;  // the fewest that can pass between memory and processor: each operand once
  double flops = 0.0;  // additions and multiplications of the textbook's formula
  std::function<std::unique_ptr<CaseRun>(Device device, std::uint64_t seed)> make;
  bool on_cpu = true;  // the CPU has this kernel
};

// kLarge: layers of ResNet-20 and ResNet-50 at batch 128, what is timed. kSmall: the same kernels at sizes that hurt, for
// tests and for an emulator.
enum class CaseSize { kSmall,
                      kLarge };
std::vector<KernelCase> kernel_cases(CaseSize size);

}  // namespace hinge::bench
