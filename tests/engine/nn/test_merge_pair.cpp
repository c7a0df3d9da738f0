// A pair multiplied out is the convolution that both halves are, bias included.
#include "engine/nn/merge_pair.h"

#include <cmath>

#include "engine/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

TEST_CASE("a merged pair convolves as its halves do, whichever of them has a bias") {
  for (const std::int64_t rank : {1, 3, 31, 33}) {
    const Tensor u = random_tensor({rank, 3, 2, 5}, 1), v = random_tensor({7, 1, 1, rank}, 2), x = random_tensor({2, 6, 4, 5}, 3);
    for (const bool first : {false, true}) {
      for (const bool second : {false, true}) {
        INFO("rank " << rank << ", biases " << first << second);
        const Tensor b = first ? random_tensor({rank}, 4) : Tensor(), d = second ? random_tensor({7}, 5) : Tensor();
        const Tensor w = merge_pair(u, v), bias = merge_pair_bias(b, v, d);
        CHECK(w.shape() == Shape{7, 3, 2, 5});
        CHECK(bias.defined() == (first || second));
        const auto array = [](const Tensor& t) { return t.defined() ? Array(t) : Array(); };
        const auto both = [&](bool absolutes) {
          const auto part = [&](const Tensor& t) { return absolutes && t.defined() ? absolute(Array(t)) : array(t); };
          return reference::conv2d(reference::conv2d(part(x), part(u), part(b), {.stride = 1, .padding = 1, .groups = 1}), part(v), part(d), {});
        };
        const Array want = both(false), magnitude = both(true), got = reference::conv2d(Array(x), Array(w), array(bias), {.stride = 1, .padding = 1, .groups = 1});
        REQUIRE(got.size() == want.size());
        for (std::int64_t i = 0; i < got.size(); ++i) CHECK(std::fabs(got[i] - want[i]) <= kEpsilon * magnitude[i]);  // weights are rounded once
      }
    }
  }
}

TEST_CASE("halves that don't go with each other are refused") {
  CHECK_THROWS_WITH(merge_pair(random_tensor({3, 3, 3, 5}, 1), random_tensor({7, 1, 1, 4}, 2)), contains("expected [rank, R, S, C] and [K, 1, 1, rank]"));
  CHECK_THROWS_AS(merge_pair(random_tensor({3, 3, 3, 5}, 1), random_tensor({7, 3, 3, 3}, 2)), Error);
  CHECK_THROWS_AS(merge_pair_bias(random_tensor({2}, 1), random_tensor({7, 1, 1, 3}, 2), Tensor()), Error);
  CHECK_THROWS_AS(merge_pair_bias(random_tensor({3}, 1), random_tensor({7, 1, 1, 3}, 2), random_tensor({6}, 3)), Error);
}
