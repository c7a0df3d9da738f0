// Tensors of random numbers that are the same in every run, on every machine and in every order.
#pragma once

#include <cstdint>

#include "engine/core/tensor.h"
#include "kernels/philox.h"

namespace hinge::testing {

// Uniform in [low, high): a pure function of the seed and the element's index.
inline Tensor random_tensor(const Shape& shape, std::uint64_t seed, float low = -1.0f,
                            float high = 1.0f) {
  Tensor result = Tensor::empty(shape);
  for (std::int64_t i = 0; i < result.size(); ++i) {
    const PhiloxWords words =
        random_words(seed, RandomUse::kTest, 0, static_cast<std::uint64_t>(i));
    result.mutable_data()[i] = low + (high - low) * uniform(words.word[0]);
  }
  return result;
}

// In (-0.5, 0.5), in no order, any two at least 1/size apart and none closer to 0 than 1/(4 size):
// a maximum or a ReLU is then smooth around every element.
inline Tensor distinct_tensor(const Shape& shape) {
  Tensor result = Tensor::empty(shape);
  const std::int64_t size = result.size();
  for (std::int64_t i = 0; i < size; ++i) {
    const double place =
        static_cast<double>(i * 104729 % size);  // a prime: visits every place once
    result.mutable_data()[i] = static_cast<float>((place + 0.25) / static_cast<double>(size) - 0.5);
  }
  return result;
}

// Labels in [0, classes).
inline Tensor random_labels(std::int64_t count, std::int64_t classes, std::uint64_t seed) {
  Tensor result = Tensor::empty({count}, DType::kInt32);
  for (std::int64_t i = 0; i < count; ++i) {
    const PhiloxWords words =
        random_words(seed, RandomUse::kTest, 1, static_cast<std::uint64_t>(i));
    result.mutable_data<std::int32_t>()[i] = static_cast<std::int32_t>(
        uniform_below(words.word[0], static_cast<std::uint32_t>(classes)));
  }
  return result;
}

}  // namespace hinge::testing
