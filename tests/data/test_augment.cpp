// Augmentation, normalisation and shuffling as pure functions of seed, epoch and image.
#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "kernels/philox.h"
#include "tests/data/files.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;
using namespace hinge::data;

namespace {

constexpr int kHeight = 7, kWidth = 5, kChannels = 3;
const Normalization kNormalization{{0.5f, 0.25f, 0.75f}, {0.25f, 0.125f, 0.5f}};

Bytes make_pixels(int n) {
  Bytes pixels;
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      for (int c = 0; c < kChannels; ++c) pixels.push_back(pattern(n, y, x, c));
    }
  }
  return pixels;
}

// The image lies between bytes of 255, so that a read outside it does not go unseen.
std::vector<float> written(const Bytes& pixels, const Augmentation& augmentation, int padding) {
  const Bytes guard(pixels.size(), 255);
  const Bytes guarded = joined({guard, pixels, guard});
  std::vector<float> out(pixels.size(), std::numeric_limits<float>::quiet_NaN());
  write_image(guarded.data() + guard.size(), kHeight, kWidth, kChannels, kNormalization,
              augmentation, padding, out.data());
  return out;
}

double normalised(int pixel, int c) {
  const auto channel = static_cast<std::size_t>(c);
  return (pixel / 255.0 - kNormalization.mean[channel]) / kNormalization.std[channel];
}

std::vector<int> numbers(int count) {
  std::vector<int> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

}  // namespace

TEST_CASE("Philox gives the words Random123 publishes") {
  const auto check = [](std::uint64_t key, std::uint64_t high, std::uint64_t low,
                        std::array<std::uint32_t, 4> expected) {
    const PhiloxWords words = philox(key, high, low);
    for (std::size_t i = 0; i < 4; ++i) CHECK(words.word[i] == expected[i]);
  };
  check(0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  check(~0ull, ~0ull, ~0ull, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  check(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88,
        {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("the identity augmentation only normalises") {
  const Bytes pixels = make_pixels(0);
  for (int padding : {0, 1, 4, 100}) {
    const std::vector<float> out = written(pixels, {padding, padding, false}, padding);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      const double expected = normalised(pixels[i], static_cast<int>(i % kChannels));
      CHECK(!(std::abs(out[i] - expected) > 1e-7 * std::max(1.0, std::abs(expected))));
    }
  }
}

TEST_CASE("every crop and flip equals cutting it from the padded 8-bit image") {
  const Bytes pixels = make_pixels(3);
  for (int padding : {0, 1, 2, 9}) {  // 9: some crops miss the image altogether
    const int padded_height = kHeight + 2 * padding, padded_width = kWidth + 2 * padding;
    const auto at = [&](int y, int x, int c, int width) {
      return static_cast<std::size_t>((y * width + x) * kChannels + c);
    };
    Bytes padded(static_cast<std::size_t>(padded_height * padded_width * kChannels), 0);
    for (int y = 0; y < kHeight; ++y) {
      for (int x = 0; x < kWidth; ++x) {
        for (int c = 0; c < kChannels; ++c) {
          padded[at(y + padding, x + padding, c, padded_width)] = pixels[at(y, x, c, kWidth)];
        }
      }
    }
    for (int top = 0; top <= 2 * padding; ++top) {
      for (int left = 0; left <= 2 * padding; ++left) {
        for (bool flip : {false, true}) {
          const std::vector<float> out = written(pixels, {top, left, flip}, padding);
          int wrong = 0;
          for (int y = 0; y < kHeight; ++y) {
            for (int x = 0; x < kWidth; ++x) {
              for (int c = 0; c < kChannels; ++c) {
                const int from_x = left + (flip ? kWidth - 1 - x : x);
                const double expected = normalised(padded[at(top + y, from_x, c, padded_width)], c);
                wrong += !(std::abs(out[at(y, x, c, kWidth)] - expected) < 1e-6);
              }
            }
          }
          INFO("padding " << padding << " top " << top << " left " << left << " flip " << flip);
          CHECK(wrong == 0);
        }
      }
    }
  }
}

TEST_CASE("a normalization that does not fit is refused") {
  CHECK_THROWS_WITH(Normalizer({{0.5f}, {}}), contains("1 means and 0 standard deviations"));
  CHECK_THROWS_WITH(Normalizer({{0.5f, 0.5f}, {1.0f, 0.0f}}), contains("channel 1"));
  const Bytes pixels = make_pixels(0);
  std::vector<float> out(pixels.size());
  CHECK_THROWS_WITH(write_image(pixels.data(), kHeight, kWidth, kChannels,
                                Normalization{{0.5f}, {0.5f}}, {}, 0, out.data()),
                    contains("3 channels, the normalization 1"));
}

TEST_CASE("augmentations are the same whenever they are asked for") {
  const AugmentOptions options{.padding = 4, .flip = true, .seed = 11};
  std::vector<Augmentation> forwards, backwards;
  for (std::uint64_t i = 0; i < 100; ++i) forwards.push_back(draw_augmentation(options, 3, i));
  for (std::uint64_t i = 100; i-- > 0;) backwards.push_back(draw_augmentation(options, 3, i));
  std::ranges::reverse(backwards);
  CHECK(forwards == backwards);
}

TEST_CASE("augmentations differ between seeds, epochs and images") {
  int same_epoch = 0, same_seed = 0, same_image = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const Augmentation drawn = draw_augmentation({.seed = 1}, 0, i);
    same_epoch += drawn == draw_augmentation({.seed = 1}, 1, i);
    same_seed += drawn == draw_augmentation({.seed = 2}, 0, i);
    same_image += drawn == draw_augmentation({.seed = 1}, 0, i + 1);
  }
  // 162 outcomes: 6 of 1000 by chance, standard deviation 2.5.
  CHECK(same_epoch < 25);
  CHECK(same_seed < 25);
  CHECK(same_image < 25);
}

TEST_CASE("crops cover [0, 2 * padding] evenly and half of the images are mirrored") {
  constexpr int kDraws = 18000;
  for (int padding : {0, 1, 4}) {
    std::map<int, int> tops, lefts;
    int flips = 0;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
      const Augmentation drawn = draw_augmentation({.padding = padding, .seed = 5}, 2, i);
      ++tops[drawn.top];
      ++lefts[drawn.left];
      flips += drawn.flip;
    }
    const int places = 2 * padding + 1;
    for (const auto& counts : {tops, lefts}) {
      CHECK(counts.size() == static_cast<std::size_t>(places));
      CHECK(counts.begin()->first == 0);
      CHECK(counts.rbegin()->first == 2 * padding);
      for (const auto& [place, count] : counts) {
        CHECK(std::abs(count - kDraws / places) <= 5 * std::sqrt(kDraws / places));
      }
    }
    CHECK(std::abs(flips - kDraws / 2) < 5 * std::sqrt(kDraws / 4));
  }
}

TEST_CASE("switching the mirror off leaves the crops as they are") {
  for (std::uint64_t i = 0; i < 100; ++i) {
    const Augmentation with = draw_augmentation({.flip = true, .seed = 9}, 1, i);
    const Augmentation without = draw_augmentation({.flip = false, .seed = 9}, 1, i);
    CHECK(!without.flip);
    CHECK(with.top == without.top);
    CHECK(with.left == without.left);
  }
}

TEST_CASE("shuffling is a permutation, repeatable, and new for each seed and epoch") {
  for (int count : {0, 1, 2, 31, 32, 33, 1000}) {
    const std::vector<int> indices = numbers(count);
    const std::vector<int> order = shuffled(indices, 7, 3);
    CHECK(std::ranges::is_permutation(order, indices));
    CHECK(order == shuffled(indices, 7, 3));
    if (count > 30) {
      CHECK(order != indices);
      CHECK(order != shuffled(indices, 7, 4));
      CHECK(order != shuffled(indices, 8, 3));
    }
  }
}

TEST_CASE("shuffling moves places, whatever the values are") {
  const std::vector<int> values{5, 5, 100, -3, 42};
  const std::vector<int> places = shuffled(numbers(5), 1, 2);
  const std::vector<int> order = shuffled(values, 1, 2);
  for (std::size_t i = 0; i < 5; ++i)
    CHECK(order[i] == values[static_cast<std::size_t>(places[i])]);
}

TEST_CASE("all 24 orders of four elements are equally likely") {
  constexpr int kShuffles = 24000;
  std::map<std::vector<int>, int> seen;
  for (std::uint64_t epoch = 0; epoch < kShuffles; ++epoch) ++seen[shuffled(numbers(4), 1, epoch)];
  CHECK(seen.size() == 24);
  for (const auto& [order, count] : seen) {
    CHECK(std::abs(count - kShuffles / 24) < 5 * std::sqrt(kShuffles / 24));
  }
}

TEST_CASE("the order of an epoch is the same on every platform") {
  // From an independent implementation, in Python.
  CHECK(shuffled(numbers(8), 0, 0) == std::vector<int>{7, 1, 3, 5, 6, 2, 4, 0});
  CHECK(shuffled(numbers(8), 3, 1) == std::vector<int>{7, 5, 6, 1, 4, 3, 2, 0});
}
