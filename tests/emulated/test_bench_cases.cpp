// The benchmark's cases, on the emulated GPU: whatever is timed on a device was checked in the same words here.
#include "tests/emulated/schedules.h"
#include "tools/bench/kernel_case.h"

#include "engine/core/accelerator.h"

using namespace hinge;
using namespace hinge::testing;

TEST_CASE("every case of the benchmark is right on the device, under every schedule") {
  const Device device{Device::Kind::kCuda, 0};
  for (const bench::KernelCase& kernel : bench::kernel_cases(bench::CaseSize::kSmall)) {
    under_all_schedules([&] {
      INFO(kernel.name);
      const auto run = kernel.make(device, 3);
      CHECK(run->check() != "");
      run->run(stream_of(device));
      CHECK(run->check() == "");
    });
  }
}
