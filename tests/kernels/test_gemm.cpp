#include "kernels/gemm.h"

#include <cmath>

#include "engine/core/device.h"
#include "kernels/registry.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

TEST_CASE("matrix products are right in every arrangement, and add where they are told to") {
  for (const auto& [m, n, k] : {std::tuple<int, int, int>{1, 1, 1},
                                {1, 33, 7},
                                {31, 1, 129},
                                {127, 32, 1},
                                {33, 128, 64},
                                {0, 3, 2},
                                {3, 0, 2},
                                {3, 2, 0}}) {
    for (int variant = 0; variant < 8; ++variant) {
      const kernels::GemmShape s{
          m, n, k, (variant & 1) != 0, (variant & 2) != 0, (variant & 4) != 0};
      INFO(m << " x " << n << " x " << k << ", transpose " << s.transpose_a << s.transpose_b
             << ", accumulate " << s.accumulate);
      const Tensor a = random_tensor({s.m * s.k}, 1), b = random_tensor({s.k * s.n}, 2),
                   before = random_tensor({s.m * s.n}, 3);
      Tensor c = before.clone();
      kernels::dispatch<kernels::Gemm>(Stream(), s, a.data(), b.data(), c.mutable_data());
      Array want({s.m * s.n}), magnitude({s.m * s.n});
      for (std::int64_t i = 0; i < s.m; ++i) {
        for (std::int64_t j = 0; j < s.n; ++j) {
          double sum = s.accumulate ? static_cast<double>(before.data()[i * s.n + j]) : 0.0,
                 size = std::fabs(sum);
          for (std::int64_t l = 0; l < s.k; ++l) {
            const double product =
                static_cast<double>(a.data()[s.transpose_a ? l * s.m + i : i * s.k + l]) *
                static_cast<double>(b.data()[s.transpose_b ? j * s.k + l : l * s.n + j]);
            sum += product, size += std::fabs(product);
          }
          want[i * s.n + j] = sum, magnitude[i * s.n + j] = size;
        }
      }
      CHECK(mismatch(c, want, magnitude) == "");
    }
  }
}
