#include "engine/autograd/backward.h"

#include "engine/ops/elementwise.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// y = factor * x, recorded.
Tensor times(const Tensor& x, float factor) {
  Tensor y = x.clone();
  for (std::int64_t i = 0; i < y.size(); ++i) y.mutable_data()[i] *= factor;
  return record("times", {x}, y, [factor](const Tensor& dy, const Stream&) -> Gradients {
    return {times(dy.detached(), factor)};
  });
}
Tensor sum_of(const Tensor& y) { return weighted_sum(y, Tensor::full(y.shape(), 1.0f)); }
Tensor gradient_of(const Tensor& loss, const Tensor& leaf) {
  return gradients(loss, std::vector{leaf}, {})[0];
}
std::vector<float> list(const Tensor& tensor) {
  return {tensor.values().begin(), tensor.values().end()};
}

}  // namespace

TEST_CASE("in a diamond both paths count") {
  const Tensor x = make_leaf(Tensor::from({2}, {1, 2}));
  const Tensor left = times(x, 2), right = times(x, 3);
  CHECK(list(gradient_of(sum_of(add(left, right, {})), x)) == std::vector<float>{5, 5});
}

TEST_CASE("diamonds on diamonds multiply: n of them double the gradient n times, in n steps") {
  const Tensor x = make_leaf(Tensor::from({1}, {1}));
  Tensor y = x;
  for (int i = 0; i < 60; ++i) y = add(y, y, {});  // 2^60 paths
  CHECK(gradient_of(y, x).item() == 0x1p60f);
}

TEST_CASE("a tensor used three times gets the sum of three gradients") {
  const Tensor x = make_leaf(Tensor::from({3}, {1, 2, 3}));
  const Tensor y = add(add(times(x, 2), x, {}), times(x, -7), {});
  CHECK(list(gradient_of(sum_of(y), x)) == std::vector<float>{-4, -4, -4});
}

TEST_CASE("a node waits for all of its consumers, however far apart they are") {
  const Tensor x = make_leaf(Tensor::from({1}, {1}));
  int runs = 0;
  const Tensor middle =
      record("counted", {x}, x, [&](const Tensor& dy, const Stream&) -> Gradients {
        ++runs;
        return {dy};
      });
  Tensor far = middle;
  for (int i = 0; i < 10; ++i) far = times(far, 2);
  CHECK(gradient_of(add(middle, far, {}), x).item() == 1025.0f);
  CHECK(runs == 1);
}

TEST_CASE("a gradient that two inputs share is not spoilt when one of them gets another") {
  const Tensor a = make_leaf(Tensor::from({1}, {1})), b = make_leaf(Tensor::from({1}, {1}));
  const Tensor first = times(a, 1);  // its gradient: 1 from the shared dy of add, 4 from below
  const auto got = gradients(add(add(first, b, {}), times(first, 4), {}), std::vector{a, b}, {});
  CHECK(got[0].item() == 5.0f);
  CHECK(got[1].item() == 1.0f);
}

TEST_CASE("a leaf that the loss does not reach has gradients of zero, of its own shape") {
  const Tensor x = make_leaf(Tensor::full({2}, 1.0f)),
               other = make_leaf(Tensor::full({3, 4}, 1.0f));
  const auto got = gradients(sum_of(x), std::vector{other, x, other}, {});
  CHECK(same_bytes(got[0], Tensor::zeros({3, 4})));
  CHECK(same_bytes(got[1], Tensor::full({2}, 1.0f)));
  CHECK(same_bytes(got[2], Tensor::zeros({3, 4})));
}

TEST_CASE("the gradient of a leaf with respect to itself is one") {
  const Tensor x = make_leaf(Tensor::full({1}, 3.0f));
  CHECK(gradient_of(x, x).item() == 1.0f);
}

TEST_CASE("an input without history gets none, and a branch of constants is not recorded") {
  const Tensor x = make_leaf(Tensor::full({2}, 1.0f)), constant = Tensor::full({2}, 5.0f);
  CHECK_FALSE(wants_gradient(times(constant, 2)));
  CHECK_FALSE(wants_gradient(x.detached()));
  CHECK_FALSE(wants_gradient(x.clone()));
  CHECK_FALSE(wants_gradient(x.reshaped({2, 1})));
  CHECK(list(gradient_of(sum_of(add(times(constant, 2), x, {})), x)) == std::vector<float>{1, 1});
}

TEST_CASE("under NoGradients nothing is recorded, and afterwards it is again, also when nested") {
  const Tensor x = make_leaf(Tensor::full({2}, 1.0f));
  {
    const NoGradients outer;
    CHECK_FALSE(gradients_enabled());
    { const NoGradients inner; }
    CHECK_FALSE(gradients_enabled());
    CHECK_FALSE(wants_gradient(relu(x, {})));
  }
  CHECK(gradients_enabled());
  CHECK(wants_gradient(relu(x, {})));
}

TEST_CASE("saved activations are let go of one by one while the gradients come in") {
  constexpr std::int64_t kSize = 1 << 16;
  const std::size_t before = memory_use({}).used;
  std::vector<std::size_t> used;
  {
    const Tensor x = make_leaf(Tensor::full({kSize}, 1.0f));
    Tensor loss;
    {
      Tensor y = x;
      for (int i = 0; i < 8; ++i) {
        y = relu(y, {});  // keeps y
        y = record("look", {y}, y, [&](const Tensor& dy, const Stream&) -> Gradients {
          used.push_back(memory_use({}).used);
          return {dy};
        });
      }
      loss = sum_of(y);
    }
    gradients(loss, std::vector{x}, {});
    REQUIRE(used.size() == 8);
    for (std::size_t i = 1; i < used.size(); ++i)
      CHECK(used[i] == used[i - 1] - kSize * sizeof(float));
  }
  CHECK(memory_use({}).used == before);
}

TEST_CASE("what cannot be differentiated is an error, not a zero") {
  const Tensor x = make_leaf(Tensor::full({2}, 1.0f));
  CHECK_THROWS_AS(gradient_of(Tensor::full({1}, 1.0f), x), Error);
  CHECK_THROWS_WITH(gradient_of(Tensor::full({1}, 1.0f), x), contains("no history"));
  CHECK_THROWS_WITH(gradient_of(relu(x, {}), x), contains("[2]") && contains("one element"));
  CHECK_THROWS_WITH(gradient_of(sum_of(x), Tensor::full({2}, 1.0f)), contains("not a leaf"));
  const Tensor middle = relu(x, {});
  CHECK_THROWS_WITH(gradient_of(sum_of(middle), middle), contains("not a leaf"));
}

TEST_CASE("a history serves once: asking again is an error") {
  const Tensor x = make_leaf(Tensor::full({2}, 1.0f));
  const Tensor middle = relu(x, {}), loss = sum_of(middle);
  gradient_of(loss, x);
  CHECK_THROWS_WITH(gradient_of(loss, x), contains("used up"));
  CHECK_THROWS_WITH(gradient_of(sum_of(middle), x), contains("used up") && contains("relu"));
}

TEST_CASE("an operation that gives another number of gradients than it has inputs is named") {
  const Tensor x = make_leaf(Tensor::full({1}, 1.0f));
  const Tensor y = record("half done", {x, x}, x,
                          [](const Tensor& dy, const Stream&) -> Gradients { return {dy}; });
  CHECK_THROWS_WITH(gradient_of(y, x),
                    contains("half done") && contains("1 gradients for 2 inputs"));
}

TEST_CASE("a leaf is ready once, with its whole gradient, as soon as its last use has run") {
  const Tensor a = make_leaf(Tensor::from({2}, {1, 2})), b = make_leaf(Tensor::from({2}, {3, 4})), unused = make_leaf(Tensor::from({1}, {5}));
  int backward_runs = 0;
  const auto counted = [&](const Tensor& x) {
    return record("counted", {x}, x.clone(), [&](const Tensor& dy, const Stream&) -> Gradients { return ++backward_runs, Gradients{dy.detached()}; });
  };
  // b is used by the last operation alone, a by the first and again by the one before the last.
  Tensor y = counted(times(a, 2));
  for (int i = 0; i < 5; ++i) y = counted(y);
  y = add(add(y, times(a, 3), {}), times(b, 7), {});
  std::vector<std::pair<std::size_t, int>> when;
  std::vector<std::vector<float>> gradient;
  const BackwardOptions options{.seed = 0.5f, .ready = [&](std::size_t i, const Tensor& g) {
                                  when.emplace_back(i, backward_runs);
                                  gradient.push_back(list(g));
                                }};
  const auto got = gradients(sum_of(y), std::vector{a, unused, b}, options, {});
  CHECK(when == std::vector<std::pair<std::size_t, int>>{{2, 0}, {0, 6}});
  CHECK(gradient == std::vector<std::vector<float>>{{3.5f, 3.5f}, {2.5f, 2.5f}});
  CHECK((list(got[0]) == gradient[1] && list(got[1]) == std::vector<float>{0} && list(got[2]) == gradient[0]));
}
