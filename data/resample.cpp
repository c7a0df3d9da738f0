#include "data/resample.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <utility>

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

// Output pixels [first, first + size) of the `to` that are made of [0, from) pixels which begin at `offset` in [0, 1) of pixel 0.
Filter filter_of(double offset, double from, int to, int first, int size) {
  Filter filter;
  const double scale = from / to, reach = std::max(scale, 1.0);
  const int pixels = static_cast<int>(std::ceil(offset + from));
  std::vector<double> row;
  for (int i = first; i < first + size; ++i) {
    const double centre = offset + (i + 0.5) * scale;
    const int low = std::max(0, static_cast<int>(std::floor(centre - reach + 0.5)));
    const int high = std::min(pixels, static_cast<int>(std::floor(centre + reach + 0.5)));
    const std::size_t begin = filter.weights.size();
    double sum = 0.0;
    row.clear();
    for (int j = low; j < high; ++j) {
      row.push_back(std::max(0.0, 1.0 - std::fabs(j + 0.5 - centre) / reach));
      sum += row.back();
    }
    for (double weight : row) filter.weights.push_back(static_cast<float>(weight / sum));
    filter.taps.push_back({low, high - low, begin});
  }
  return filter;
}

// One side of a box in a picture that is scaled by eighths / 8: the pixel in which it begins, how far inside, and how long it is.
// Without a scale all three are the box's own, exactly.
struct Side {
  int first = 0;
  double offset = 0.0, length = 0.0;
};

Side scaled(int begin, int length, int eighths) {
  const std::int64_t at = static_cast<std::int64_t>(begin) * eighths;
  return {static_cast<int>(at / 8), static_cast<double>(at % 8) / 8.0, static_cast<double>(length) * eighths / 8.0};
}

// Red, green, blue and nothing: four channels are one instruction, three are three.
struct alignas(16) Pixel {
  float channel[4] = {};
};

void widen(const std::uint8_t* bytes, std::vector<Pixel>& row) {
  for (Pixel& pixel : row) {
    for (int c = 0; c < 3; ++c) pixel.channel[c] = static_cast<float>(bytes[c]);
    bytes += 3;
  }
}

std::uint8_t to_byte(float value) { return static_cast<std::uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f)); }

void check_output(const Resampling& how) {
  require(how.box.top >= 0 && how.box.left >= 0 && how.box.height >= 1 && how.box.width >= 1, "resample: a box of {}x{} at ({}, {})", how.box.height, how.box.width, how.box.top, how.box.left);
  require(how.size >= 1 && how.top >= 0 && how.left >= 0 && how.top + how.size <= how.height && how.left + how.size <= how.width,
          "resample: {}x{} at ({}, {}) of {}x{}", how.size, how.size, how.top, how.left, how.height, how.width);
}

// [first, last) of what a filter reads.
std::pair<int, int> read_by(const Filter& filter) { return {filter.taps.front().first, filter.taps.back().first + filter.taps.back().count}; }

// `pixels` begin at (top, left) of the scaled picture.
void resample(const Picture& pixels, int top, int left, int eighths, const Resampling& how, std::uint8_t* out) {
  check_output(how);
  const Box& box = how.box;
  const Side x = scaled(box.left, box.width, eighths), y = scaled(box.top, box.height, eighths);
  const Filter across = filter_of(x.offset, x.length, how.width, how.left, how.size);
  const Filter down = filter_of(y.offset, y.length, how.height, how.top, how.size);
  const auto [first_column, end_column] = read_by(across);
  const auto [first_row, end_row] = read_by(down);
  require(y.first + first_row >= top && x.first + first_column >= left && y.first + end_row <= top + pixels.height && x.first + end_column <= left + pixels.width,
          "resample: a box of {}x{} at ({}, {}) of {}x{} pixels from ({}, {}) on at {}/8", box.height, box.width, box.top, box.left, pixels.height, pixels.width, top, left, eighths);
  // Rows first, only those that the second pass reads: [rows, size, 3].
  const int rows = end_row - first_row, columns = end_column - first_column;
  const auto width = static_cast<std::size_t>(how.size) * 3;
  std::vector<float> narrow(static_cast<std::size_t>(rows) * width + 1);  // and what the last pixel's fourth channel overwrites
  std::vector<Pixel> row(static_cast<std::size_t>(columns));
  for (int r = 0; r < rows; ++r) {
    const std::size_t first = static_cast<std::size_t>(y.first + first_row + r - top) * static_cast<std::size_t>(pixels.width) + static_cast<std::size_t>(x.first + first_column - left);
    widen(pixels.pixels.data() + first * 3, row);
    float* target = narrow.data() + static_cast<std::size_t>(r) * width;
    for (const Filter::Tap& tap : across.taps) {
      const Pixel* source = row.data() + (tap.first - first_column);
      const float* weights = across.weights.data() + tap.weights;
      Pixel sum{};
      for (int j = 0; j < tap.count; ++j) {
        for (int c = 0; c < 4; ++c) sum.channel[c] += weights[j] * source[j].channel[c];
      }
      std::memcpy(target, sum.channel, sizeof sum.channel);
      target += 3;
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
    for (std::size_t i = 0; i < width; ++i) out[i] = to_byte(line[i]);
    out += width;
  }
}

}  // namespace

void resample(const Picture& picture, const Resampling& how, std::uint8_t* out) { resample(picture, 0, 0, 8, how, out); }

void resample(const Part& part, const Resampling& how, std::uint8_t* out) { resample(part.pixels, part.top, part.left, part.eighths, how, out); }

Box box_read_by(const Resampling& how) {
  check_output(how);
  const auto [left, right] = read_by(filter_of(0.0, how.box.width, how.width, how.left, how.size));
  const auto [top, bottom] = read_by(filter_of(0.0, how.box.height, how.height, how.top, how.size));
  return {how.box.top + top, how.box.left + left, bottom - top, right - left};
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
