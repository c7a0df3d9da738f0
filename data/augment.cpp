// Crops, mirroring and normalisation in one pass over the output; shuffling; all without state.
#include "data/augment.h"

#include <cstddef>
#include <utility>

#include "engine/core/error.h"
#include "kernels/augment.h"
#include "kernels/philox.h"

namespace hinge::data {

Augmentation draw_augmentation(const AugmentOptions& options, std::uint64_t epoch,
                               std::uint64_t image) {
  const kernels::CropAndFlip draw =
      kernels::draw_crop_and_flip(options.padding, options.flip, options.seed, epoch, image);
  return {.top = draw.top, .left = draw.left, .flip = draw.flip};
}

Normalizer::Normalizer(const Normalization& normalization) {
  require(normalization.mean.size() == normalization.std.size(),
          "normalization: {} means and {} standard deviations, expected one of each per channel",
          normalization.mean.size(), normalization.std.size());
  tables_.resize(normalization.mean.size());
  for (std::size_t c = 0; c < tables_.size(); ++c) {
    const double mean = normalization.mean[c], deviation = normalization.std[c];
    require(deviation > 0, "normalization: channel {} has standard deviation {}, expected above 0",
            c, deviation);
    for (std::size_t p = 0; p < 256; ++p) {
      tables_[c][p] = static_cast<float>((static_cast<double>(p) / 255.0 - mean) / deviation);
    }
  }
}

void write_image(const std::uint8_t* pixels, int height, int width, int channels,
                 const Normalizer& normalizer, const Augmentation& augmentation, int padding,
                 float* out) {
  require(normalizer.channels() == channels,
          "normalization: the image has {} channels, the normalization {}", channels,
          normalizer.channels());
  // Source of out[y, x] is pixels[y + down, x' + right]; outside the image it is the padding.
  const int down = augmentation.top - padding, right = augmentation.left - padding;
  const auto step = static_cast<std::size_t>(channels);
  for (int y = 0; y < height; ++y) {
    const int source_y = y + down;
    const bool row_inside = source_y >= 0 && source_y < height;
    const std::uint8_t* row = pixels + static_cast<std::size_t>(row_inside ? source_y : 0) *
                                           static_cast<std::size_t>(width) * step;
    for (int x = 0; x < width; ++x) {
      const int source_x = (augmentation.flip ? width - 1 - x : x) + right;
      const bool inside = row_inside && source_x >= 0 && source_x < width;
      const std::uint8_t* pixel = row + static_cast<std::size_t>(inside ? source_x : 0) * step;
      for (int c = 0; c < channels; ++c) {
        *out++ = normalizer.table(c)[inside ? pixel[c] : std::uint8_t{0}];
      }
    }
  }
}

std::vector<int> shuffled(std::span<const int> indices, std::uint64_t seed, std::uint64_t epoch) {
  std::vector<int> order(indices.begin(), indices.end());
  // Fisher-Yates from the back: element i changes places with one of 0 .. i. Not std::shuffle,
  // whose result is the standard library's choice.
  for (std::size_t i = order.size(); i-- > 1;) {
    const PhiloxWords words = random_words(seed, RandomUse::kShuffle, epoch, i / 4);
    std::swap(order[i], order[uniform_below(words.word[i % 4], static_cast<std::uint32_t>(i + 1))]);
  }
  return order;
}

}  // namespace hinge::data
