#include "engine/ops/elementwise.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/autograd/backward.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// Which elements dropout keeps, found from its effect on ones.
std::vector<bool> kept(std::int64_t size, const DropoutOptions& options) {
  std::vector<bool> keep;
  const Tensor of_ones = dropout(Tensor::full({size}, 1.0f), options, {});
  for (float value : of_ones.values()) keep.push_back(value != 0.0f);
  return keep;
}

}  // namespace

TEST_CASE("relu and its gradient are exact for any number of elements") {
  for (const std::int64_t size : kCountsThatHurt) {
    INFO(size << " elements");
    const Tensor x = make_leaf(distinct_tensor({size}));
    const Tensor y = relu(x, {});
    const Array want = reference::relu(Array(x));
    CHECK(mismatch(y, want, want, 0.0) == "");
    const Tensor weights = random_tensor({size}, 2);
    const Tensor dx = gradients(weighted_sum(y, weights), std::vector{x}, {})[0];
    CHECK(dx.shape() == x.shape());
    Array masked(x.shape());
    for (std::int64_t i = 0; i < size; ++i) {
      masked[i] = x.data()[i] > 0.0f ? static_cast<double>(weights.data()[i]) : 0.0;
    }
    CHECK(mismatch(dx, masked, masked, 0.0) == "");
    if (size > 1000) continue;
    const Function f = [](const std::vector<Array>& v) { return reference::relu(v[0]); };
    CHECK(mismatch(dx, probe(f, {Array(x)}, Array(weights), 0)) == "");
  }
}

TEST_CASE("relu lets NaN through, stops at zero of either sign, and gives no gradient at zero") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const Tensor x = make_leaf(Tensor::from({6}, {nan, 0.0f, -0.0f, infinity, -infinity, 1e-40f}));
  const Tensor y = relu(x, {});
  CHECK(std::isnan(y.data()[0]));
  CHECK(y.data()[1] == 0.0f);
  CHECK(y.data()[2] == 0.0f);
  CHECK(y.data()[3] == infinity);
  CHECK(y.data()[4] == 0.0f);
  CHECK(y.data()[5] > 0.0f);
  const Tensor dx = gradients(weighted_sum(y, Tensor::full({6}, 1.0f)), std::vector{x}, {})[0];
  CHECK(dx.data()[1] == 0.0f);
  CHECK(dx.data()[2] == 0.0f);
  CHECK(dx.data()[3] == 1.0f);
}

TEST_CASE("a capped relu and its gradient are exact for any number of elements") {
  for (const std::int64_t size : kCountsThatHurt) {
    for (const float ceiling : {0.25f, 6.0f}) {
      INFO(size << " elements, ceiling " << ceiling);
      // In (-1.9, 1.9) ceilings: a quarter of the elements lies between the kinks, none on one.
      Tensor stretched = distinct_tensor({size});
      for (std::int64_t i = 0; i < size; ++i) stretched.mutable_data()[i] *= 3.8f * ceiling;
      const Tensor x = make_leaf(stretched);
      const Tensor y = capped_relu(x, ceiling, {});
      const double top = static_cast<double>(ceiling);
      const Array want = reference::capped_relu(Array(x), top);
      CHECK(mismatch(y, want, want, 0.0) == "");
      const Tensor weights = random_tensor({size}, 2);
      const Tensor dx = gradients(weighted_sum(y, weights), std::vector{x}, {})[0];
      Array masked(x.shape());
      for (std::int64_t i = 0; i < size; ++i) {
        const float value = x.data()[i];
        masked[i] = value > 0.0f && value < ceiling ? static_cast<double>(weights.data()[i]) : 0.0;
      }
      CHECK(mismatch(dx, masked, masked, 0.0) == "");
      if (size > 1000) continue;
      const Function f = [top](const std::vector<Array>& v) { return reference::capped_relu(v[0], top); };
      CHECK(mismatch(dx, probe(f, {Array(x)}, Array(weights), 0)) == "");
    }
  }
}

TEST_CASE("a capped relu lets NaN through, stops at its ceiling, and gives no gradient at either kink") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const Tensor x = make_leaf(Tensor::from({7}, {nan, 0.0f, -0.0f, infinity, -infinity, 6.0f, 5.9999995f}));
  const Tensor y = capped_relu(x, 6.0f, {});
  CHECK(std::isnan(y.data()[0]));
  const std::vector<float> want = {0.0f, 0.0f, 6.0f, 0.0f, 6.0f, 5.9999995f};
  for (std::int64_t i = 1; i < 7; ++i) CHECK(y.data()[i] == want[static_cast<std::size_t>(i - 1)]);
  const Tensor dx = gradients(weighted_sum(y, Tensor::full({7}, 1.0f)), std::vector{x}, {})[0];
  for (std::int64_t i = 1; i < 6; ++i) CHECK(dx.data()[i] == 0.0f);
  CHECK(dx.data()[6] == 1.0f);
  for (const float ceiling : {0.0f, -1.0f, nan}) {
    CHECK_THROWS_WITH(capped_relu(x, ceiling, {}), contains("capped relu") && contains("above 0"));
  }
}

TEST_CASE("add rounds once and hands its gradient on unchanged to both inputs") {
  for (const std::int64_t size : kCountsThatHurt) {
    INFO(size << " elements");
    const Tensor a = make_leaf(random_tensor({size}, 1)), b = make_leaf(random_tensor({size}, 2));
    const Tensor c = add(a, b, {});
    const Array want = reference::add(Array(a), Array(b));
    CHECK(mismatch(c, want, absolute(want), 1.0) == "");
    const Tensor weights = random_tensor({size}, 3);
    const auto got = gradients(weighted_sum(c, weights), std::vector{a, b}, {});
    CHECK(same_bytes(got[0], weights));
    CHECK(same_bytes(got[1], weights));
  }
}

TEST_CASE("a tensor added to itself gets the gradient twice") {
  const Tensor a = make_leaf(random_tensor({33}, 1)), weights = random_tensor({33}, 2);
  const Array twice = reference::add(Array(weights), Array(weights));
  CHECK(mismatch(gradients(weighted_sum(add(a, a, {}), weights), std::vector{a}, {})[0], twice,
                 twice, 0.0) == "");
}

TEST_CASE("add refuses unequal shapes, with both in the message") {
  CHECK_THROWS_AS(add(Tensor::zeros({2, 3}), Tensor::zeros({3, 2}), {}), Error);
  CHECK_THROWS_WITH(add(Tensor::zeros({2, 3}), Tensor::zeros({3, 2}), {}),
                    contains("[2, 3]") && contains("[3, 2]"));
  CHECK_THROWS_WITH(add(Tensor::zeros({6}), Tensor::zeros({6, 1}), {}),
                    contains("[6]") && contains("[6, 1]"));
}

TEST_CASE("dropout scales what it keeps, and its gradient passes the same mask") {
  for (const std::int64_t size : kCountsThatHurt) {
    for (const float rate : {0.0f, 0.3f, 0.9f}) {
      INFO(size << " elements, rate " << rate);
      const DropoutOptions options{.rate = rate, .seed = 5, .step = 3, .layer = 2};
      const std::vector<bool> keep = kept(size, options);
      const double exact_rate = static_cast<double>(rate);
      const Tensor x = make_leaf(random_tensor({size}, 1));
      const Tensor y = dropout(x, options, {});
      const Array want = reference::dropout(Array(x), keep, exact_rate);
      CHECK(mismatch(y, want, absolute(want)) == "");
      const Tensor weights = random_tensor({size}, 2);
      const Tensor dx = gradients(weighted_sum(y, weights), std::vector{x}, {})[0];
      const Array want_dx = reference::dropout(Array(weights), keep, exact_rate);
      CHECK(mismatch(dx, want_dx, absolute(want_dx)) == "");
      if (size > 1000) continue;
      const Function f = [&](const std::vector<Array>& v) {
        return reference::dropout(v[0], keep, exact_rate);
      };
      CHECK(mismatch(dx, probe(f, {Array(x)}, Array(weights), 0)) == "");
    }
  }
}

TEST_CASE("dropout drops its share: within five standard deviations of a binomial") {
  for (const float rate : {0.1f, 0.5f, 0.8f}) {
    const std::vector<bool> keep = kept(40000, {.rate = rate, .seed = 1});
    const double dropped = static_cast<double>(std::count(keep.begin(), keep.end(), false));
    const double expected = 40000.0 * static_cast<double>(rate);
    CHECK(std::fabs(dropped - expected) <=
          5.0 * std::sqrt(expected * (1.0 - static_cast<double>(rate))));
  }
}

TEST_CASE("dropout's mask is a function of seed, step and layer, and of each of them") {
  const DropoutOptions options{.rate = 0.5f, .seed = 1, .step = 2, .layer = 3};
  const auto mask = [](DropoutOptions o) { return kept(1000, o); };
  CHECK(mask(options) == mask(options));
  for (const DropoutOptions& other : {DropoutOptions{0.5f, 9, 2, 3}, DropoutOptions{0.5f, 1, 9, 3},
                                      DropoutOptions{0.5f, 1, 2, 9}}) {
    const std::vector<bool> a = mask(options), b = mask(other);
    int equal = 0;
    for (std::size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i];
    CHECK(std::abs(equal - 500) <= 80);  // five standard deviations: unrelated masks agree on half
  }
}

TEST_CASE("dropout refuses a rate outside [0, 1)") {
  for (const float rate : {-0.1f, 1.0f, 1.5f, std::numeric_limits<float>::quiet_NaN()}) {
    CHECK_THROWS_AS(dropout(Tensor::zeros({4}), {.rate = rate}, {}), Error);
    CHECK_THROWS_WITH(dropout(Tensor::zeros({4}), {.rate = rate}, {}), contains("[0, 1)"));
  }
}

TEST_CASE("dropout of a part of a batch is that part of the batch's dropout") {
  for (const std::int64_t width : {1, 3, 4, 33}) {
    const Tensor all = Tensor::full({9, width}, 1.0f);
    const DropoutOptions options{.rate = 0.5f, .seed = 1, .step = 2, .layer = 3};
    const Tensor want = dropout(all, options, {});
    for (std::int64_t first = 0; first < 9; ++first) {
      DropoutOptions of_part = options;
      of_part.first_image = first;
      const Tensor part = dropout(Tensor::full({9 - first, width}, 1.0f), of_part, {});
      CHECK(std::ranges::equal(part.values(), want.values().subspan(static_cast<std::size_t>(first * width))));
    }
  }
}
