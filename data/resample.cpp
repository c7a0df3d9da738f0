#include "data/resample.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "engine/core/error.h"
#include "kernels/philox.h"

namespace hinge::data {
namespace {

// For one side: which pixels of the box each output pixel reads, and with which weights.
struct Filter {
  struct Tap {
    int first = 0, count = 0;
    std::size_t weights = 0;  // where they begin
  };
  std::vector<Tap> taps;  // [size]
  std::vector<float> weights;
};

Filter filter_of(int from, int to, int first, int size) {
  Filter filter;
  const double scale = static_cast<double>(from) / to, reach = std::max(scale, 1.0);
  for (int i = first; i < first + size; ++i) {
    const double centre = (i + 0.5) * scale;
    const int low = std::max(0, static_cast<int>(std::floor(centre - reach + 0.5)));
    const int high = std::min(from, static_cast<int>(std::floor(centre + reach + 0.5)));
    const std::size_t begin = filter.weights.size();
    double sum = 0.0;
    std::vector<double> row;
    for (int j = low; j < high; ++j) {
      row.push_back(std::max(0.0, 1.0 - std::fabs(j + 0.5 - centre) / reach));
      sum += row.back();
    }
    for (double weight : row) filter.weights.push_back(static_cast<float>(weight / sum));
    filter.taps.push_back({low, high - low, begin});
  }
  return filter;
}

std::uint8_t to_byte(float value) { return static_cast<std::uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f)); }

}  // namespace

void resample(const Picture& picture, const Resampling& how, std::uint8_t* out) {
  const Box& box = how.box;
  require(box.top >= 0 && box.left >= 0 && box.height >= 1 && box.width >= 1 && box.top + box.height <= picture.height && box.left + box.width <= picture.width,
          "resample: a box of {}x{} at ({}, {}) of a {}x{} picture", box.height, box.width, box.top, box.left, picture.height, picture.width);
  require(how.size >= 1 && how.top >= 0 && how.left >= 0 && how.top + how.size <= how.height && how.left + how.size <= how.width,
          "resample: {}x{} at ({}, {}) of {}x{}", how.size, how.size, how.top, how.left, how.height, how.width);
  const Filter across = filter_of(box.width, how.width, how.left, how.size);
  const Filter down = filter_of(box.height, how.height, how.top, how.size);
  // Rows first, only those that the second pass reads: [rows, size, 3].
  const int first_row = down.taps.front().first, rows = down.taps.back().first + down.taps.back().count - first_row;
  const auto width = static_cast<std::size_t>(how.size) * 3;
  std::vector<float> narrow(static_cast<std::size_t>(rows) * width);
  for (int y = 0; y < rows; ++y) {
    const std::size_t row = static_cast<std::size_t>(box.top + first_row + y) * static_cast<std::size_t>(picture.width) + static_cast<std::size_t>(box.left);
    const std::uint8_t* source = picture.pixels.data() + row * 3;
    float* target = narrow.data() + static_cast<std::size_t>(y) * width;
    for (const Filter::Tap& tap : across.taps) {
      float sum[3] = {0.0f, 0.0f, 0.0f};
      for (int j = 0; j < tap.count; ++j) {
        const float weight = across.weights[tap.weights + static_cast<std::size_t>(j)];
        for (int c = 0; c < 3; ++c) sum[c] += weight * static_cast<float>(source[(tap.first + j) * 3 + c]);
      }
      for (float value : sum) *target++ = value;
    }
  }
  std::vector<float> line(width);
  for (const Filter::Tap& tap : down.taps) {
    std::ranges::fill(line, 0.0f);
    for (int j = 0; j < tap.count; ++j) {
      const float weight = down.weights[tap.weights + static_cast<std::size_t>(j)];
      const float* source = narrow.data() + static_cast<std::size_t>(tap.first - first_row + j) * width;
      for (std::size_t i = 0; i < width; ++i) line[i] += weight * source[i];
    }
    for (float value : line) *out++ = to_byte(value);
  }
}

Resampling centre_crop(int height, int width, int shorter, int size) {
  require(shorter >= size, "centre crop of {} pixels from a picture whose shorter side is {}", size, shorter);
  const auto longer = [&](int side, int short_side) { return static_cast<int>(static_cast<std::int64_t>(shorter) * side / short_side); };
  const int h = height <= width ? shorter : longer(height, width), w = height <= width ? longer(width, height) : shorter;
  const auto middle = [&](int side) { return static_cast<int>(std::nearbyint((side - size) / 2.0)); };  // ties to even, as Python's round
  return {.box = {0, 0, height, width}, .height = h, .width = w, .top = middle(h), .left = middle(w), .size = size};
}

Box random_box(int height, int width, const RandomCropOptions& options, std::uint64_t seed, std::uint64_t epoch, std::uint64_t image) {
  constexpr int kTries = 10;
  const double area = static_cast<double>(height) * width;
  for (std::uint64_t attempt = 0; attempt < kTries; ++attempt) {
    // Images keep 60 bits of the counter: far more than any set has.
    const PhiloxWords words = random_words(seed, RandomUse::kCrop, epoch, image << 4 | attempt);
    const double wanted = area * (options.least_area + (1.0 - options.least_area) * static_cast<double>(uniform(words.word[0])));
    const double low = std::log(options.least_ratio), high = std::log(options.largest_ratio);
    const double ratio = std::exp(low + (high - low) * static_cast<double>(uniform(words.word[1])));
    const int w = static_cast<int>(std::lround(std::sqrt(wanted * ratio))), h = static_cast<int>(std::lround(std::sqrt(wanted / ratio)));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const auto place = [](std::uint32_t word, int room) { return static_cast<int>(uniform_below(word, static_cast<std::uint32_t>(room + 1))); };
    return {place(words.word[2], height - h), place(words.word[3], width - w), h, w};
  }
  const double ratio = std::clamp(static_cast<double>(width) / height, options.least_ratio, options.largest_ratio);
  const int w = std::clamp(static_cast<int>(std::lround(height * ratio)), 1, width), h = std::clamp(static_cast<int>(std::lround(width / ratio)), 1, height);
  return {(height - h) / 2, (width - w) / 2, h, w};
}

}  // namespace hinge::data
