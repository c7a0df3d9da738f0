#include "kernels/group_prox.h"

#include <cmath>
#include <limits>

#include "engine/core/device.h"
#include "kernels/registry.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

kernels::GroupView rows_of(Tensor& w) {
  return {w.mutable_data(), w.dim(0), w.dim(1), w.dim(1), 1};
}
kernels::GroupView columns_of(Tensor& w) {
  return {w.mutable_data(), w.dim(1), w.dim(0), 1, w.dim(1)};
}

}  // namespace

TEST_CASE("group norms are those of rows and columns, at every size that hurts") {
  for (const std::int64_t rows : kSizesThatHurt) {
    for (const std::int64_t columns : kSizesThatHurt) {
      for (const bool by_row : {true, false}) {
        INFO(rows << " x " << columns << ", by row " << by_row);
        Tensor w = random_tensor({rows, columns}, 1);
        const kernels::GroupView view = by_row ? rows_of(w) : columns_of(w);
        Tensor norms = Tensor::empty({view.groups});
        kernels::dispatch<kernels::GroupNorms>(Stream(), view, norms.mutable_data());
        Array want({view.groups});
        for (std::int64_t i = 0; i < w.size(); ++i) {
          const double value = static_cast<double>(w.data()[i]);
          want[by_row ? i / columns : i % columns] += value * value;
        }
        for (double& value : want.data) value = std::sqrt(value);
        CHECK(mismatch(norms, want, want, 1.0) == "");  // summed in float64: one rounding

        const Tensor scales = random_tensor({view.groups}, 2, 0.0f, 1.0f), before = w.clone();
        kernels::dispatch<kernels::GroupScale>(Stream(), view, scales.data());
        Array scaled(w.shape());
        for (std::int64_t i = 0; i < w.size(); ++i) {
          scaled[i] = static_cast<double>(before.data()[i]) *
                      static_cast<double>(scales.data()[by_row ? i / columns : i % columns]);
        }
        CHECK(mismatch(w, scaled, absolute(scaled), 1.0) == "");
      }
    }
  }
}

TEST_CASE("a scale of one changes no bit, and a scale of zero writes zeros even over infinities") {
  const float infinity = std::numeric_limits<float>::infinity();
  Tensor w = Tensor::from({3, 2}, {infinity, NAN, 1e-40f, -3.0f, infinity, -infinity});
  kernels::dispatch<kernels::GroupScale>(Stream(), rows_of(w),
                                         std::vector<float>{0.0f, 1.0f, 0.5f}.data());
  CHECK(w.data()[0] == 0.0f);
  CHECK(w.data()[1] == 0.0f);
  CHECK(w.data()[2] == 1e-40f);
  CHECK(w.data()[3] == -3.0f);
  CHECK(w.data()[4] == infinity);
}

TEST_CASE("a norm overflows no sooner than float32 itself") {
  Tensor w = Tensor::full({1, 4}, 1e30f);
  float norm = 0.0f;
  kernels::dispatch<kernels::GroupNorms>(Stream(), rows_of(w), &norm);
  CHECK(norm == Approx(2e30f));
}
