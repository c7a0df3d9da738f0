#include "engine/core/tensor.h"

#include <cstdint>

#include "tests/support/catch.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

TEST_CASE("a shape knows its rank, extents and size") {
  const Shape shape{2, 3, 4};
  CHECK(shape.rank() == 3);
  CHECK(shape[1] == 3);
  CHECK(shape.size() == 24);
  CHECK(shape.to_string() == "[2, 3, 4]");
  CHECK(fmt::format("{}", shape) == "[2, 3, 4]");
  CHECK(Shape().size() == 1);
  CHECK(Shape{0, 5}.size() == 0);
  CHECK(Shape{6} != Shape{6, 1});
}

TEST_CASE("impossible shapes are refused with the reason") {
  CHECK_THROWS_WITH((Shape{2, -1}), contains("-1"));
  CHECK_THROWS_WITH((Shape{1, 1, 1, 1, 1, 1}), contains("6 dimensions") && contains("5"));
  CHECK_THROWS_WITH((Shape{2, 3}[2]), contains("axis 2") && contains("[2, 3]"));
  CHECK_THROWS_WITH((Shape{2, 3}[-1]), contains("axis -1"));
}

TEST_CASE("copies of a tensor share elements, a clone has its own") {
  Tensor a = Tensor::from({2, 2}, {1, 2, 3, 4});
  Tensor shared = a, cloned = a.clone();
  CHECK_FALSE(a.unique());
  CHECK(cloned.unique());
  shared.mutable_data()[0] = 9.0f;
  CHECK(a.data()[0] == 9.0f);
  CHECK(cloned.data()[0] == 1.0f);
  CHECK(a.reshaped({4}).data() == a.data());
}

TEST_CASE("new tensors hold what their maker says") {
  const Tensor zeros = Tensor::zeros({33}), full = Tensor::full({33}, 2.5f), integers = Tensor::zeros({7}, DType::kInt64);
  for (float value : zeros.values()) CHECK(value == 0.0f);
  for (float value : full.values()) CHECK(value == 2.5f);
  for (std::int64_t value : integers.values<std::int64_t>()) CHECK(value == 0);
  CHECK(Tensor::empty({3, 0}).size() == 0);
  CHECK(Tensor::zeros({}).item() == 0.0f);
  CHECK(Tensor::zeros({5}, DType::kFloat64).bytes() == 40);
}

TEST_CASE("elements start at multiples of 64 bytes, whatever their number") {
  for (const std::int64_t size : kCountsThatHurt) {
    CHECK(reinterpret_cast<std::uintptr_t>(Tensor::empty({size}).data()) % 64 == 0);
  }
}

TEST_CASE("reading a tensor as what it is not is an error with both sides") {
  Tensor labels = Tensor::zeros({3}, DType::kInt32);
  CHECK_THROWS_AS(labels.data<float>(), Error);
  CHECK_THROWS_WITH(labels.data<float>(), contains("holds I32") && contains("asked for F32"));
  CHECK_THROWS_WITH(labels.mutable_data<double>(), contains("I32") && contains("F64"));
  CHECK_THROWS_WITH(Tensor().data(), contains("default-constructed"));
  CHECK_THROWS_WITH(Tensor::zeros({2}).item(), contains("[2]") && contains("one element"));
  CHECK_THROWS_WITH(Tensor::zeros({2, 3}).reshaped({5}), contains("[2, 3]") && contains("[5]"));
  CHECK_THROWS_WITH(Tensor::from({2, 2}, {1, 2, 3}),
                    contains("[2, 2]") && contains("4") && contains("3 were given"));
}

TEST_CASE("an undefined tensor is empty-handed but harmless") {
  const Tensor nothing;
  CHECK_FALSE(nothing.defined());
  CHECK_FALSE(nothing.clone().defined());
  CHECK_FALSE(nothing.detached().defined());
}
