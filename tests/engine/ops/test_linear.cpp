#include "engine/ops/linear.h"

#include "engine/autograd/backward.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

Array linear_of(const std::vector<Array>& v) { return reference::linear(v[0], v[1], v[2]); }

}  // namespace

TEST_CASE("linear gives the reference's values at every size that hurts, with and without bias") {
  for (const std::int64_t n : kSizesThatHurt) {
    for (const std::int64_t c : kSizesThatHurt) {
      for (const std::int64_t k : {std::int64_t{1}, std::int64_t{10}, std::int64_t{33}, c}) {
        INFO("n " << n << ", c " << c << ", k " << k);
        const Tensor x = random_tensor({n, c}, 1), w = random_tensor({k, c}, 2);
        const Tensor b = c % 2 == 0 ? Tensor() : random_tensor({k}, 3);
        CHECK(mismatch(linear(x, w, b, {}), linear_of({Array(x), Array(w), Array(b)}),
                       linear_of({absolute(Array(x)), absolute(Array(w)), absolute(Array(b))})) ==
              "");
      }
    }
  }
}

TEST_CASE("linear's gradients are those of the reference") {
  for (const Shape& sizes :
       {Shape{1, 1, 1}, Shape{2, 31, 33}, Shape{33, 7, 10}, Shape{3, 64, 10}}) {
    for (const bool bias : {false, true}) {
      INFO("n, c, k = " << sizes.to_string() << ", bias " << bias);
      const Tensor x = make_leaf(random_tensor({sizes[0], sizes[1]}, 1));
      const Tensor w = make_leaf(random_tensor({sizes[2], sizes[1]}, 2));
      const Tensor b = bias ? make_leaf(random_tensor({sizes[2]}, 3)) : Tensor();
      const Tensor y = linear(x, w, b, {});
      const Tensor weights = random_tensor(y.shape(), 4);
      std::vector<Tensor> leaves = {x, w};
      if (bias) leaves.push_back(b);
      const auto got = gradients(weighted_sum(y, weights), leaves, {});
      for (std::size_t i = 0; i < leaves.size(); ++i) {
        CHECK(got[i].shape() == leaves[i].shape());
        CHECK(mismatch(got[i],
                       probe(linear_of, {Array(x), Array(w), Array(b)}, Array(weights), i)) == "");
      }
    }
  }
}

TEST_CASE("linear on an empty batch gives nothing and gradients of zero") {
  const Tensor x = make_leaf(Tensor::empty({0, 5})), w = make_leaf(random_tensor({3, 5}, 1));
  const Tensor b = make_leaf(random_tensor({3}, 2));
  const Tensor y = linear(x, w, b, {});
  CHECK(y.shape() == Shape{0, 3});
  for (int i = 0; i < 4; ++i) Tensor::full({3, 5}, 7.0f), Tensor::full({3}, 7.0f);
  const auto got = gradients(weighted_sum(y, Tensor::empty({0, 3})), std::vector{x, w, b}, {});
  CHECK(got[0].shape() == Shape{0, 5});
  CHECK(same_bytes(got[1], Tensor::zeros({3, 5})));
  CHECK(same_bytes(got[2], Tensor::zeros({3})));
}

TEST_CASE("linear refuses what does not fit, with both sides in the message") {
  const Tensor x = Tensor::zeros({2, 3});
  CHECK_THROWS_WITH(linear(x, Tensor::zeros({4, 5}), {}, {}),
                    contains("[2, 3]") && contains("[4, 5]"));
  CHECK_THROWS_WITH(linear(x, Tensor::zeros({3}), {}, {}), contains("[3]") && contains("[K, C]"));
  CHECK_THROWS_WITH(linear(Tensor::zeros({2, 1, 1, 3}), Tensor::zeros({4, 3}), {}, {}),
                    contains("[2, 1, 1, 3]") && contains("[N, C]"));
  CHECK_THROWS_WITH(linear(x, Tensor::zeros({4, 3}), Tensor::zeros({3}), {}),
                    contains("bias is [3]") && contains("expected [4]"));
  CHECK_THROWS_AS(linear(x, Tensor::zeros({4, 5}), {}, {}), Error);
}
