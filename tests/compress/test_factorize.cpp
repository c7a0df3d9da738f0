#include "compress/factorize.h"

#include <cmath>

#include "engine/core/error.h"
#include "engine/nn/merge_pair.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

double largest(const Tensor& t) {
  double result = 0.0;
  for (float v : t.values()) result = std::max(result, std::abs(static_cast<double>(v)));
  return result;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double result = 0.0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i]));
    if (!(d <= result)) result = d;
  }
  return result;
}

}  // namespace

TEST_CASE("every exact initialisation reproduces the filters to 1e-5") {
  for (const Shape& shape : {Shape{16, 3, 3, 16}, Shape{1, 1, 1, 1}, Shape{33, 3, 3, 3}, Shape{31, 1, 1, 128}, Shape{64, 5, 3, 7}}) {
    const Tensor filters = testing::random_tensor(shape, 11);
    for (const char* name : {"svd", "svd2", "identity"}) {
      INFO(name << " " << shape.to_string());
      const Factors factors = factorize(filters, initialisation_of(name));
      CHECK((largest_difference(merge_pair(factors.spatial, factors.pointwise), filters) <= 1e-5 * largest(filters)));
    }
  }
}

TEST_CASE("the disturbed identity is the identity and noise of the given scale, with rows or columns of norm 1") {
  const Tensor filters = testing::random_tensor({32, 3, 3, 8}, 5);
  for (bool uniform : {false, true}) {
    for (bool rows : {false, true}) {
      for (double scale : {1e-3, 0.05}) {
        const NoiseOptions noise{.scale = scale, .uniform = uniform, .rows = rows, .seed = 7};
        const Factors f = factorize(filters, Initialisation::kDisturbedIdentity, noise);
        CHECK(largest_difference(f.spatial, filters) == 0.0);
        double squares = 0.0;
        for (std::int64_t i = 0; i < 32; ++i) {
          double norm = 0.0;
          for (std::int64_t j = 0; j < 32; ++j) {
            norm += std::pow(static_cast<double>(f.pointwise.data()[rows ? j * 32 + i : i * 32 + j]), 2);  // A^T in memory
            if (i != j) squares += std::pow(static_cast<double>(f.pointwise.data()[i * 32 + j]), 2);
          }
          CHECK((std::abs(std::sqrt(norm) - 1.0) <= 1e-6));
        }
        // 992 numbers: their mean square is within a fifth of its expectation (4.5 standard deviations).
        const double expected = uniform ? scale * scale / 3.0 : scale * scale;
        CHECK((std::abs(squares / 992.0 / expected - 1.0) <= 0.2));
        const Factors again = factorize(filters, Initialisation::kDisturbedIdentity, noise);
        CHECK(largest_difference(f.pointwise, again.pointwise) == 0.0);
      }
    }
  }
  CHECK_FALSE(is_exact(Initialisation::kDisturbedIdentity));
}

TEST_CASE("the random initialisation forgets the filters and keeps the variance of what passes through") {
  const Tensor filters = testing::random_tensor({64, 3, 3, 16}, 5);
  const Factors f = factorize(filters, Initialisation::kRandom, {.seed = 3}), g = factorize(filters, Initialisation::kRandom, {.seed = 4});
  CHECK(largest_difference(f.spatial, g.spatial) > 0.0);
  double spatial = 0.0, pointwise = 0.0;
  for (float v : f.spatial.values()) spatial += static_cast<double>(v) * static_cast<double>(v);
  for (float v : f.pointwise.values()) pointwise += static_cast<double>(v) * static_cast<double>(v);
  CHECK((std::abs(spatial / 64.0 / 2.0 - 1.0) <= 0.1));  // each filter's squares sum up to 2
  CHECK((std::abs(pointwise / 64.0 - 1.0) <= 0.1));      // each column's of A to 1
  CHECK_FALSE(is_exact(Initialisation::kRandom));
}

TEST_CASE("svd2 has orthonormal filters and the singular values as row norms, largest first") {
  const Tensor filters = testing::random_tensor({24, 3, 3, 8}, 5);
  const Factors f = factorize(filters, Initialisation::kSvd2);
  const std::int64_t rank = f.spatial.dim(0), size = f.spatial.size() / rank;
  double previous = 1e300;
  for (std::int64_t i = 0; i < rank; ++i) {
    for (std::int64_t j = 0; j < rank; ++j) {
      double dot = 0.0;
      for (std::int64_t e = 0; e < size; ++e) dot += static_cast<double>(f.spatial.data()[i * size + e]) * static_cast<double>(f.spatial.data()[j * size + e]);
      CHECK((std::abs(dot - (i == j ? 1.0 : 0.0)) <= 1e-5));
    }
    double squares = 0.0;
    for (std::int64_t k = 0; k < 24; ++k) squares += std::pow(static_cast<double>(f.pointwise.data()[k * rank + i]), 2);
    CHECK(std::sqrt(squares) <= previous * (1.0 + 1e-6));
    previous = std::sqrt(squares);
  }
}

TEST_CASE("the rank is the smaller side of the matrix, and a matrix of rank r has r non-zero rows") {
  CHECK(factorize(testing::random_tensor({64, 3, 3, 3}, 1), Initialisation::kSvd2).spatial.dim(0) == 27);
  CHECK(factorize(testing::random_tensor({16, 3, 3, 16}, 1), Initialisation::kSvd2).spatial.dim(0) == 16);
  const Tensor product = merge_pair(testing::random_tensor({5, 3, 3, 4}, 2), testing::random_tensor({20, 1, 1, 5}, 3));
  const Factors f = factorize(product, Initialisation::kSvd2);
  for (std::int64_t i = 0; i < f.spatial.dim(0); ++i) {
    double squares = 0.0;
    for (std::int64_t k = 0; k < 20; ++k) squares += std::pow(static_cast<double>(f.pointwise.data()[k * f.spatial.dim(0) + i]), 2);
    if (i < 5) {
      CHECK(std::sqrt(squares) > 0.1);
    } else {
      CHECK((std::sqrt(squares) <= 1e-5));
    }
  }
}

TEST_CASE("filters with NaN are refused") {
  Tensor filters = testing::random_tensor({4, 3, 3, 4}, 1);
  filters.mutable_data()[7] = NAN;
  CHECK_THROWS_AS(factorize(filters, Initialisation::kSvd2), Error);
}
