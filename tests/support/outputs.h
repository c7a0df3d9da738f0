// How far what two programs put out lies apart.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/core/tensor.h"
#include "tests/support/catch.h"

namespace hinge::testing {

// Of any output, relative to the largest one of that head.
inline double difference(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0.0;
  for (std::size_t o = 0; o < a.size(); ++o) {
    REQUIRE(a[o].shape() == b[o].shape());
    double head = 0.0, largest = 1e-30;
    for (std::int64_t i = 0; i < a[o].size(); ++i) {
      const double d = std::fabs(static_cast<double>(a[o].data()[i]) - static_cast<double>(b[o].data()[i]));
      if (!(d <= head)) head = d;
      largest = std::max(largest, std::fabs(static_cast<double>(a[o].data()[i])));
    }
    if (!(head / largest <= worst)) worst = head / largest;
  }
  return worst;
}

}  // namespace hinge::testing
