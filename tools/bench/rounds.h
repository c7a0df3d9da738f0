// Seconds of a call: the median of seven rounds of equally many calls, about `seconds` long in all.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>

#include "engine/core/device.h"

namespace hinge::bench {

// `queue` queues one call on `stream`. The first few aren't timed: convolutions are chosen, graphs captured.
template <class Queue>
double seconds_of(double seconds, const Stream& stream, const Queue& queue) {
  using Clock = std::chrono::steady_clock;
  const auto round = [&](int count) {
    stream.synchronize();
    const auto start = Clock::now();
    for (int i = 0; i < count; ++i) queue();
    stream.synchronize();
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  std::array<double, 7> samples{};
  round(3);
  const int count = static_cast<int>(std::clamp(seconds / samples.size() / round(1), 1.0, 2000.0));
  for (double& sample : samples) sample = round(count) / count;
  std::ranges::sort(samples);
  return samples[samples.size() / 2];
}

}  // namespace hinge::bench
