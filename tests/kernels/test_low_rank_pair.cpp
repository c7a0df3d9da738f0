#include "kernels/low_rank_pair.h"

#include "engine/core/device.h"
#include "kernels/registry.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;
using namespace hinge::kernels;

TEST_CASE("a low-rank pair on the CPU is the two convolutions it stands for") {
  const std::vector<ConvShape> shapes = {
      {.n = 2, .h = 9, .w = 7, .c = 5, .k = 7, .r = 3, .s = 3, .stride = 2, .padding = 1},
      {.n = 1, .h = 33, .w = 31, .c = 16, .k = 1, .r = 3, .s = 3, .padding = 1},
      {.n = 3, .h = 1, .w = 1, .c = 33, .k = 32},
      {.n = 0, .h = 4, .w = 4, .c = 3, .k = 2},
  };
  for (const ConvShape& s : shapes) {
    for (const std::int64_t k : {1, 33}) {
      INFO(s.to_string() << " -> " << k);
      const Tensor x = random_tensor({s.n, s.h, s.w, s.c}, 1), u = random_tensor({s.k, s.r, s.s, s.c}, 2), b = random_tensor({s.k}, 3);
      const Tensor v = random_tensor({k, 1, 1, s.k}, 4), d = random_tensor({k}, 5), z = random_tensor({s.n, s.p(), s.q(), k}, 6);
      Tensor y = Tensor::empty(z.shape());
      dispatch<LowRankPair>(Stream(), LowRankPairShape{s, k, {.low = 0.0f}, {.low = 0.0f, .high = 0.6f}},
                            LowRankPairOperands{x.data(), u.data(), b.data(), v.data(), d.data(), z.data()}, y.mutable_data());
      const auto pair = [&](auto array, auto inner, auto outer) {
        const Array t = inner(reference::conv2d(array(x), array(u), array(b), {s.stride, s.padding, 1}));
        return outer(reference::add(reference::conv2d(t, array(v), array(d), {}), array(z)));
      };
      const auto same = [](const Array& a) { return a; };
      const Array want = pair([](const Tensor& t) { return Array(t); }, reference::relu, [](const Array& a) { return reference::capped_relu(a, 0.6f); });
      CHECK(mismatch(y, want, pair([](const Tensor& t) { return absolute(Array(t)); }, same, same)) == "");
    }
  }
}
