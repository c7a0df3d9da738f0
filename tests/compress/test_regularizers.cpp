// Every registered regulariser must be what it says it is: the harness walks the registry.
#include <cmath>

#include "compress/regularizer.h"
#include "engine/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"

using namespace hinge;
using namespace hinge::compress;
using hinge::testing::contains;

namespace {

const std::vector<double> kNorms = {0.0, 1e-30, 1e-6, 0.01, 0.1, 0.3, 0.5, 0.999, 1.0, 1.001, 2.0, 7.5, 1e3, 1e12};
const std::vector<double> kSteps = {0.0, 1e-8, 0.01, 0.1, 0.5, 1.0, 3.0, 100.0};

double objective(const Regularizer& r, double n, double step, double x) {
  return 0.5 * (x - n) * (x - n) + step * r.value(x);
}

}  // namespace

TEST_CASE("the proximal step is the global minimiser of its own objective") {
  for (const auto& [name, entry] : regularizers()) {
    const auto r = make_regularizer(name);
    for (double step : kSteps) {
      for (double n : kNorms) {
        INFO(name << " norm " << n << " step " << step);
        const double reached = objective(*r, n, step, r->shrink(n, step) * n);
        double best = objective(*r, n, step, 0.0);
        for (int k = 0; k <= 4000; ++k) best = std::min(best, objective(*r, n, step, n * k / 4000.0));
        CHECK(reached <= best + 1e-12 * (1.0 + n * n));
      }
    }
  }
}

TEST_CASE("shrinking never grows a norm, keeps the order of norms and leaves zero alone") {
  for (const auto& [name, entry] : regularizers()) {
    const auto r = make_regularizer(name);
    for (double step : kSteps) {
      double previous = 0.0;
      for (double n : kNorms) {
        INFO(name << " norm " << n << " step " << step);
        const double scale = r->shrink(n, step);
        CHECK(scale >= 0.0);
        CHECK(scale <= 1.0);
        CHECK(scale * n >= previous - 1e-12 * n);
        previous = scale * n;
      }
      CHECK(r->shrink(0.0, step) == 0.0);
    }
  }
}

TEST_CASE("the proximal step on a matrix scales each group by its own factor and returns the norms before it") {
  const Stream stream;
  for (const auto& [name, entry] : regularizers()) {
    const auto r = make_regularizer(name);
    for (std::int64_t groups : {1, 31, 33, 128}) {
      for (std::int64_t size : {1, 32, 129}) {
        for (bool columns : {false, true}) {
          INFO(name << " groups " << groups << " size " << size << " columns " << columns);
          const Tensor before = testing::random_tensor({groups, size}, 3);
          Tensor after = before.clone();
          const kernels::GroupView view{after.mutable_data(), groups, size, columns ? 1 : size, columns ? groups : 1};
          const double step = 0.2 * std::sqrt(static_cast<double>(size));
          const std::vector<float> norms = r->prox(std::span(&view, 1), step, stream);
          for (std::int64_t g = 0; g < groups; ++g) {
            double squares = 0.0;
            const auto at = [&](std::int64_t j) { return static_cast<std::size_t>(g * view.group_stride + j * view.element_stride); };
            for (std::int64_t j = 0; j < size; ++j) squares += std::pow(static_cast<double>(before.values()[at(j)]), 2);
            const double norm = std::sqrt(squares), scale = r->shrink(norm, step);
            CHECK((std::abs(static_cast<double>(norms[static_cast<std::size_t>(g)]) - norm) <= 1e-6 * norm));
            for (std::int64_t j = 0; j < size; ++j) {
              const double expected = scale * static_cast<double>(before.values()[at(j)]);
              // Two roundings to float: the norm's and the product's; the scale's slope is at most step/norm.
              CHECK((std::abs(static_cast<double>(after.values()[at(j)]) - expected) <= 4e-7 * (1.0 + step / norm)));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("an unknown regulariser or option is refused with the known ones") {
  CHECK_THROWS_WITH(make_regularizer("l2"), contains("known: ") && contains("l1"));
  CHECK_THROWS_WITH(make_regularizer("l1", {{"eps", 1.0}}), contains("eps"));
  CHECK_THROWS_AS(make_regularizer("l2"), UsageError);
}
