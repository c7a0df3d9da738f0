// The same work under every schedule of the emulator. On a GPU (tests/device compiles the same tests for one) there is one
// schedule, which nobody chooses.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#if !defined(HINGE_ON_DEVICE)
#include "kernels/simt/emulator.h"
#endif
#include "tests/support/catch.h"

namespace hinge::testing {

#if defined(HINGE_ON_DEVICE)

// Several times: what depends on the order of threads may show in one run and not in another.
template <class Body>
void under_all_schedules(const Body& body) {
  for (int run = 0; run < 3; ++run) body();
}

#else

struct NamedSchedule {
  const char* name;
  simt::emulator::Schedule schedule;
  std::uint64_t seed;
};
inline const NamedSchedule kSchedules[] = {{"forward", simt::emulator::Schedule::kForward, 0},
                                           {"reverse", simt::emulator::Schedule::kReverse, 0},
                                           {"shuffled", simt::emulator::Schedule::kShuffled, 20261124}};

// body() under each schedule; messages of a failing check name it.
template <class Body>
void under_all_schedules(const Body& body) {
  for (const NamedSchedule& named : kSchedules) {
    INFO("schedule " << named.name);
    simt::emulator::set_schedule(named.schedule, named.seed);
    body();
  }
  simt::emulator::set_schedule(simt::emulator::Schedule::kForward);
}

#endif

// True if body() (a vector of numbers) gives the same bytes under every schedule. A race shows as false.
template <class Body>
bool same_under_all_schedules(const Body& body) {
  bool same = true;
  decltype(body()) first;
  bool is_first = true;
  under_all_schedules([&] {
    const auto result = body();
    if (is_first) first = result;
    is_first = false;
    same = same && result.size() == first.size() &&
           std::memcmp(result.data(), first.data(), result.size() * sizeof(result[0])) == 0;
  });
  return same;
}

}  // namespace hinge::testing
