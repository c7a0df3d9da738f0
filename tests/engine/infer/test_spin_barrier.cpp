#include "engine/infer/spin_barrier.h"

#include <thread>
#include <vector>

#include "tests/support/catch.h"

using namespace hinge;

TEST_CASE("behind a barrier every thread sees what all wrote before it, also with more threads than cores") {
  for (const int threads : {1, 2, 3, 8}) {
    SpinBarrier barrier(threads);
    std::vector<int> written(static_cast<std::size_t>(threads), 0);
    std::atomic<int> wrong{0};
    const auto work = [&](int mine) {
      for (int round = 1; round <= 500; ++round) {
        written[static_cast<std::size_t>(mine)] = round;
        barrier.wait();
        for (int value : written) wrong += value != round;
        barrier.wait();  // nobody writes the next round while another still looks
      }
    };
    {
      std::vector<std::jthread> team;
      for (int mine = 0; mine < threads; ++mine) team.emplace_back(work, mine);
    }
    CHECK(wrong == 0);
  }
}
