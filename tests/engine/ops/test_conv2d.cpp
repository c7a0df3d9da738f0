#include "engine/ops/conv2d.h"

#include <cmath>

#include "engine/autograd/backward.h"
#include "kernels/conv2d.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

struct Case {
  const char* what;
  Shape x, w;
  Conv2dOptions options;
  bool bias = false;
};

// Small enough for differences; between them every border, stride, grouping and blocking case.
const std::vector<Case> kCases = {
    {"one number", {1, 1, 1, 1}, {1, 1, 1, 1}, {}, true},
    {"a 1x1 picture under a 3x3 filter", {2, 1, 1, 3}, {5, 3, 3, 3}, {.padding = 1}, true},
    {"the stem", {1, 7, 7, 3}, {16, 3, 3, 3}, {.padding = 1}, true},
    {"a block", {2, 5, 5, 16}, {16, 3, 3, 16}, {.padding = 1}},
    {"no padding", {1, 5, 6, 4}, {7, 3, 3, 4}, {}},
    {"much padding", {1, 3, 4, 2}, {3, 3, 3, 2}, {.padding = 2}, true},
    {"stride 2 on an odd picture", {2, 7, 5, 8}, {16, 3, 3, 8}, {.stride = 2, .padding = 1}},
    {"stride 2 on an even picture", {2, 6, 8, 8}, {9, 3, 3, 8}, {.stride = 2, .padding = 1}, true},
    {"stride 3, last column unread", {1, 8, 8, 2}, {3, 2, 2, 2}, {.stride = 3}},
    {"pointwise", {2, 3, 3, 33}, {31, 1, 1, 33}, {}},
    {"pointwise with bias", {2, 3, 3, 17}, {8, 1, 1, 17}, {}, true},
    {"pointwise with stride on an odd picture", {1, 5, 5, 16}, {32, 1, 1, 16}, {.stride = 2}},
    {"a filter that isn't square", {1, 6, 5, 3}, {4, 1, 3, 3}, {.padding = 1}},
    {"a 5x5 filter", {1, 6, 6, 3}, {4, 5, 5, 3}, {.padding = 2}},
    {"depthwise", {2, 5, 5, 16}, {16, 3, 3, 1}, {.padding = 1, .groups = 16}, true},
    {"depthwise, odd channels",
     {1, 5, 5, 7},
     {7, 3, 3, 1},
     {.stride = 2, .padding = 1, .groups = 7}},
    {"depthwise, two filters each", {1, 4, 4, 5}, {10, 3, 3, 1}, {.padding = 1, .groups = 5}},
    {"four groups", {1, 5, 5, 8}, {12, 3, 3, 2}, {.padding = 1, .groups = 4}, true},
    {"32 groups", {1, 4, 4, 64}, {32, 3, 3, 2}, {.padding = 1, .groups = 32}},
    {"31 channels to 33", {1, 3, 3, 31}, {33, 3, 3, 31}, {.padding = 1}},
    {"127 channels to 1", {1, 2, 2, 127}, {1, 3, 3, 127}, {.padding = 1}, true},
    {"1 channel to 129", {1, 3, 3, 1}, {129, 3, 3, 1}, {.padding = 1}, true},
    {"128 channels to 32", {1, 2, 2, 128}, {32, 1, 1, 128}, {}},
};

// Rounding errors in units of kEpsilon * sum |x||w|. The direct forms and the matrix product sum in
// float32 in some order; Winograd's transforms add and subtract inputs before they multiply.
double bound_of(const std::string& form) { return form == "winograd" ? 64.0 : 8.0; }

}  // namespace

TEST_CASE("every form of conv2d gives the reference's values and gradients") {
  for (const Case& c : kCases) {
    const reference::Conv options{c.options.stride, c.options.padding, c.options.groups};
    const Tensor x = make_leaf(random_tensor(c.x, 1)), w = make_leaf(random_tensor(c.w, 2));
    const Tensor b = c.bias ? make_leaf(random_tensor({c.w[0]}, 3)) : Tensor();
    const std::vector<Array> inputs = {Array(x), Array(w), Array(b)};
    const Function f = [&](const std::vector<Array>& v) {
      return reference::conv2d(v[0], v[1], v[2], options);
    };
    const Array want = f(inputs);
    const Array magnitude = f({absolute(inputs[0]), absolute(inputs[1]), absolute(inputs[2])});
    const Tensor weights = random_tensor(want.shape, 4);
    std::vector<std::vector<Probe>> probes;
    for (std::size_t i = 0; i < (c.bias ? 3u : 2u); ++i) {
      probes.push_back(probe(f, inputs, Array(weights), i));
    }
    for (const std::string form : {"nhwc", "blocked", "winograd", "gemm"}) {
      INFO(c.what << ", form " << form);
      kernels::reset_conv(form);
      const Tensor y = conv2d(x, w, b, c.options, {});
      CHECK(mismatch(y, want, magnitude, bound_of(form)) == "");
      std::vector<Tensor> leaves = {x, w};
      if (c.bias) leaves.push_back(b);
      const std::vector<Tensor> got = gradients(weighted_sum(y, weights), leaves, {});
      for (std::size_t i = 0; i < got.size(); ++i) {
        INFO("input " << i);
        CHECK(got[i].shape() == leaves[i].shape());
        CHECK(mismatch(got[i], probes[i], bound_of(form)) == "");
      }
    }
  }
  kernels::reset_conv();
}

TEST_CASE("conv2d gives the reference's values at every channel count that hurts") {
  for (const std::int64_t in : kSizesThatHurt) {
    for (const std::int64_t out : kSizesThatHurt) {
      for (const int kernel : {1, 3}) {
        INFO(in << " to " << out << " channels, " << kernel << "x" << kernel);
        const Tensor x = random_tensor({1, 3, 2, in}, 1);
        const Tensor w = random_tensor({out, kernel, kernel, in}, 2);
        const reference::Conv options{.padding = kernel / 2};
        kernels::reset_conv("blocked");  // any: without a choice each shape would be measured
        const Tensor y = conv2d(x, w, {}, {.padding = kernel / 2}, {});
        CHECK(mismatch(y, reference::conv2d(Array(x), Array(w), {}, options),
                       reference::conv2d(absolute(Array(x)), absolute(Array(w)), {}, options)) ==
              "");
      }
    }
  }
  kernels::reset_conv();
}

TEST_CASE("only the gradients that are wanted are computed") {
  const Tensor x = random_tensor({1, 4, 4, 3}, 1), w = random_tensor({5, 3, 3, 3}, 2);
  const Tensor b = random_tensor({5}, 3);
  const Conv2dOptions options{.padding = 1};
  CHECK_FALSE(wants_gradient(conv2d(x, w, b, options, {})));

  const Tensor leaf = make_leaf(w);
  const Tensor y = conv2d(x, leaf, b, options, {});
  const Gradients only_w = y.node()->backward(Tensor::full(y.shape(), 1.0f), {});
  CHECK_FALSE(only_w[0].defined());
  CHECK(only_w[1].defined());
  CHECK_FALSE(only_w[2].defined());
}

TEST_CASE("a bias alone gets its gradient: the sum of dy over all pixels") {
  const Tensor x = random_tensor({2, 3, 3, 4}, 1), w = random_tensor({6, 3, 3, 4}, 2);
  const Tensor b = make_leaf(random_tensor({6}, 3));
  const Tensor y = conv2d(x, w, b, {.padding = 1}, {});
  const Tensor dy = random_tensor(y.shape(), 4);
  Array want({6}), magnitude({6});
  for (std::int64_t i = 0; i < dy.size(); ++i) {
    want[i % 6] += static_cast<double>(dy.data()[i]);
    magnitude[i % 6] += std::fabs(static_cast<double>(dy.data()[i]));
  }
  CHECK(mismatch(gradients(weighted_sum(y, dy), std::vector{b}, {})[0], want, magnitude) == "");
}

TEST_CASE("an empty batch gives an empty output and gradients of zero") {
  for (const bool bias : {false, true}) {
    for (const std::int64_t kernel : {1, 3}) {
      INFO("kernel " << kernel << ", bias " << bias);
      const Tensor x = make_leaf(Tensor::empty({0, 4, 4, 3}));
      const Tensor w = make_leaf(random_tensor({5, kernel, kernel, 3}, 2));
      const Tensor b = make_leaf(random_tensor({5}, 3));
      const Tensor y =
          conv2d(x, w, bias ? b : Tensor(), {.padding = static_cast<int>(kernel / 2)}, {});
      CHECK(y.shape() == Shape{0, 4, 4, 5});
      // Fill the cache with something that is not zero: gradients must be written, not found.
      for (int i = 0; i < 4; ++i) Tensor::full(w.shape(), 7.0f), Tensor::full({5}, 7.0f);
      const auto got =
          gradients(weighted_sum(y, Tensor::empty(y.shape())), std::vector{x, w, b}, {});
      CHECK(got[0].shape() == x.shape());
      CHECK(same_bytes(got[1], Tensor::zeros(w.shape())));
      CHECK(same_bytes(got[2], Tensor::zeros({5})));
    }
  }
}

TEST_CASE("conv2d refuses what does not fit, with both sides in the message") {
  const Tensor x = random_tensor({1, 4, 5, 6}, 1);
  const auto refuses = [&](const Tensor& w, const Tensor& b, const Conv2dOptions& options,
                           const std::string& one, const std::string& other) {
    CHECK_THROWS_AS(conv2d(x, w, b, options, {}), Error);
    CHECK_THROWS_WITH(conv2d(x, w, b, options, {}), contains(one) && contains(other));
  };
  refuses(Tensor::zeros({2, 3, 3, 5}), {}, {}, "6 channels", "takes 5");
  refuses(Tensor::zeros({2, 3, 3, 6}), {}, {.groups = 2}, "6 channels", "takes 6 in each of 2");
  refuses(Tensor::zeros({3, 3, 3, 3}), {}, {.groups = 2}, "3 filters", "2 groups");
  refuses(Tensor::zeros({2, 3, 6}), {}, {}, "[2, 3, 6]", "[K, R, S, C/groups]");
  refuses(Tensor::zeros({2, 3, 3, 6}), Tensor::zeros({3}), {}, "bias is [3]", "expected [2]");
  refuses(Tensor::zeros({2, 5, 5, 6}), {}, {}, "5x5 filter", "4x5 input");
  refuses(Tensor::zeros({2, 3, 3, 6}), {}, {.stride = 0}, "stride 0", "out of range");
  refuses(Tensor::zeros({2, 3, 3, 6}), {}, {.padding = -1}, "padding -1", "out of range");
  refuses(Tensor::zeros({2, 3, 3, 6}), {}, {.groups = 0}, "groups 0", "out of range");
  CHECK_THROWS_WITH(conv2d(Tensor::zeros({4, 5, 6}), Tensor::zeros({2, 3, 3, 6}), {}, {}, {}),
                    contains("[4, 5, 6]") && contains("[N, H, W, C]"));
}
