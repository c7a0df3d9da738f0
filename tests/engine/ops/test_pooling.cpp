#include "engine/ops/pooling.h"

#include <cmath>
#include <limits>

#include "engine/autograd/backward.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

struct Case {
  Shape x;
  PoolOptions pool;
};
const std::vector<Case> kCases = {
    {{1, 1, 1, 1}, {.window = 1, .stride = 1}},
    {{2, 1, 1, 31}, {.window = 2, .stride = 1, .padding = 1}},
    {{2, 4, 4, 3}, {}},
    {{2, 5, 7, 3}, {}},                                         // the last row and column unread
    {{1, 5, 7, 33}, {.window = 3, .stride = 2, .padding = 1}},  // windows overlap
    {{1, 4, 4, 127}, {.window = 3, .stride = 1, .padding = 1}},
    {{1, 6, 5, 2}, {.window = 2, .stride = 3}},  // windows apart
    {{3, 8, 8, 4}, {.window = 8, .stride = 8}},
    {{2, 4, 4, 128}, {.window = 4, .stride = 2, .padding = 2}},
    {{0, 4, 4, 3}, {}},
};

reference::Window window_of(const PoolOptions& o) { return {o.window, o.stride, o.padding}; }

// Values and gradients of one operation of one input against the reference. `factor` 0: exactly.
void check(const Function& f, const Tensor& x, const Tensor& y, double factor) {
  const Array want = f({Array(x)});
  CHECK(mismatch(y, want, f({absolute(Array(x))}), factor) == "");
  const Tensor weights = random_tensor(y.shape(), 9);
  const Tensor dx = gradients(weighted_sum(y, weights), std::vector{x}, {})[0];
  REQUIRE(dx.shape() == x.shape());
  CHECK(mismatch(dx, probe(f, {Array(x)}, Array(weights), 0, 60)) == "");
}

}  // namespace

TEST_CASE("max pooling gives the reference's values and gradients") {
  for (const Case& c : kCases) {
    INFO(c.x.to_string() << ", window " << c.pool.window << ", stride " << c.pool.stride
                         << ", padding " << c.pool.padding);
    const Tensor x = make_leaf(distinct_tensor(c.x));
    check([&](const std::vector<Array>& v) { return reference::max_pool(v[0], window_of(c.pool)); },
          x, max_pool(x, c.pool, {}), 8.0);
    const Array want = reference::max_pool(Array(x), window_of(c.pool));
    CHECK(mismatch(max_pool(x, c.pool, {}), want, want, 0.0) == "");
  }
}

TEST_CASE("average pooling gives the reference's values and gradients; padding counts as zeros") {
  for (const Case& c : kCases) {
    INFO(c.x.to_string() << ", window " << c.pool.window << ", stride " << c.pool.stride
                         << ", padding " << c.pool.padding);
    const Tensor x = make_leaf(random_tensor(c.x, 1));
    check(
        [&](const std::vector<Array>& v) {
          return reference::average_pool(v[0], window_of(c.pool));
        },
        x, average_pool(x, c.pool, {}), 8.0);
  }
}

TEST_CASE("global average pooling gives the reference's values and gradients") {
  for (const Shape& shape :
       {Shape{1, 1, 1, 1}, Shape{2, 8, 8, 64}, Shape{3, 7, 7, 33}, Shape{0, 4, 4, 3}}) {
    INFO(shape.to_string());
    const Tensor x = make_leaf(random_tensor(shape, 1));
    check([](const std::vector<Array>& v) { return reference::global_average_pool(v[0]); }, x,
          global_average_pool(x, {}), 8.0);
  }
}

TEST_CASE("of equal largest elements the first gets max pooling's gradient") {
  const Tensor x = make_leaf(Tensor::full({1, 2, 2, 1}, 3.0f));
  const Tensor y = max_pool(x, {}, {});
  const Tensor dx =
      gradients(weighted_sum(y, Tensor::full(y.shape(), 5.0f)), std::vector{x}, {})[0];
  CHECK(std::vector<float>(dx.values().begin(), dx.values().end()) ==
        std::vector<float>{5, 0, 0, 0});
}

TEST_CASE("max pooling's padding never wins, and NaN always does") {
  const Tensor low = Tensor::full({1, 1, 1, 1}, -1e30f);
  CHECK(max_pool(low, {.window = 3, .stride = 1, .padding = 1}, {}).item() == -1e30f);
  for (std::int64_t place = 0; place < 4; ++place) {
    Tensor x = random_tensor({1, 2, 2, 1}, 1);
    x.mutable_data()[place] = std::numeric_limits<float>::quiet_NaN();
    CHECK(std::isnan(max_pool(x, {}, {}).item()));
  }
}

TEST_CASE("both forms of the option-A shortcut give the reference's values and gradients") {
  for (const bool pool : {false, true}) {
    for (const Shape& shape : {Shape{2, 4, 4, 3}, Shape{1, 5, 7, 16}, Shape{1, 2, 2, 129},
                               Shape{3, 32, 32, 1}, Shape{0, 4, 4, 2}, Shape{2, 1, 1, 4}}) {
      for (const auto& [before, after] : {std::pair{0, 0}, {8, 8}, {1, 2}}) {
        INFO(shape.to_string() << ", pool " << pool << ", zeros " << before << " and " << after);
        const Tensor x = make_leaf(random_tensor(shape, 1));
        check(
            [&](const std::vector<Array>& v) {
              return reference::shortcut_a(v[0], before, after, pool);
            },
            x, shortcut_a(x, {.before = before, .after = after, .pool = pool}, {}),
            pool ? 8.0 : 0.0);
      }
    }
  }
}

TEST_CASE("concatenation gives the reference's values, and each part its part of the gradient") {
  for (const std::vector<std::int64_t>& channels :
       {std::vector<std::int64_t>{1}, {3, 5}, {31, 1, 33}, {128, 127, 129}, {2, 0, 3}}) {
    std::vector<Tensor> parts;
    std::vector<Array> arrays;
    for (const std::int64_t c : channels) {
      parts.push_back(make_leaf(random_tensor({2, 3, 2, c}, static_cast<std::uint64_t>(c))));
      arrays.emplace_back(parts.back());
    }
    const Tensor y = concat(parts, {});
    const Array want = reference::concat(arrays);
    CHECK(mismatch(y, want, want, 0.0) == "");
    const Tensor weights = random_tensor(y.shape(), 9);
    const auto got = gradients(weighted_sum(y, weights), parts, {});
    for (std::size_t i = 0; i < parts.size(); ++i) {
      CHECK(got[i].shape() == parts[i].shape());
      CHECK(mismatch(got[i], probe(reference::concat, arrays, Array(weights), i)) == "");
    }
  }
}

TEST_CASE("a part of a concatenation without history wants no gradient and shifts no other") {
  const Tensor a = random_tensor({1, 2, 2, 3}, 1), b = make_leaf(random_tensor({1, 2, 2, 2}, 2));
  const Tensor y = concat(std::vector{a, b}, {});
  const Tensor weights = random_tensor(y.shape(), 3);
  const Tensor db = gradients(weighted_sum(y, weights), std::vector{b}, {})[0];
  for (std::int64_t pixel = 0; pixel < 4; ++pixel) {
    for (std::int64_t c = 0; c < 2; ++c)
      CHECK(db.data()[pixel * 2 + c] == weights.data()[pixel * 5 + 3 + c]);
  }
}

TEST_CASE("flatten puts channels before pixels, and its gradient puts them back") {
  for (const Shape& shape :
       {Shape{1, 1, 1, 1}, Shape{2, 3, 4, 5}, Shape{1, 2, 2, 129}, Shape{0, 2, 2, 3}}) {
    INFO(shape.to_string());
    const Tensor x = make_leaf(random_tensor(shape, 1));
    check([](const std::vector<Array>& v) { return reference::flatten(v[0]); }, x, flatten(x, {}),
          0.0);
  }
}

TEST_CASE("pooling, shortcut, concatenation and flatten refuse what does not fit") {
  const Tensor x = Tensor::zeros({1, 3, 4, 2}), flat = Tensor::zeros({3, 4});
  for (const auto& op : {max_pool, average_pool}) {
    CHECK_THROWS_AS(op(flat, {}, {}), Error);
    CHECK_THROWS_WITH(op(flat, {}, {}), contains("[3, 4]") && contains("[N, H, W, C]"));
    CHECK_THROWS_WITH(op(x, {.window = 4}, {}), contains("window 4") && contains("3x4"));
    CHECK_THROWS_WITH(op(x, {.window = 2, .stride = 0}, {}), contains("stride 0"));
    CHECK_THROWS_WITH(op(x, {.window = 2, .stride = 1, .padding = 2}, {}), contains("padding 2"));
  }
  CHECK_THROWS_WITH(global_average_pool(x, {}), contains("3x4") && contains("square"));
  CHECK_THROWS_WITH(shortcut_a(x, {.before = -1}, {}), contains("-1"));
  CHECK_THROWS_WITH(shortcut_a(flat, {}, {}), contains("[3, 4]"));
  CHECK_THROWS_WITH(flatten(flat, {}), contains("[3, 4]"));
  CHECK_THROWS_WITH(concat({}, {}), contains("no inputs"));
  CHECK_THROWS_WITH(concat(std::vector{x, Tensor::zeros({1, 4, 4, 2})}, {}),
                    contains("[1, 3, 4, 2]") && contains("[1, 4, 4, 2]"));
}
