// What an activation does to a value before it is written: nothing, ReLU (low = 0), or ReLU with a ceiling.
#pragma once

#include <limits>

#include "kernels/simt/host_device.h"

namespace hinge::kernels {

// y = min(max(x, low), high); NaN stays NaN.
struct Clamp {
  float low = -std::numeric_limits<float>::infinity(), high = std::numeric_limits<float>::infinity();
  bool operator==(const Clamp&) const = default;
};

// Comparisons with NaN are false.
SIMT_HOST_DEVICE inline float clamped(float x, Clamp clamp) {
  x = x < clamp.low ? clamp.low : x;
  return x > clamp.high ? clamp.high : x;
}

}  // namespace hinge::kernels
