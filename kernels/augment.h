// Crop, mirror and normalise 8-bit images: the random numbers and the kernel's tag. data/augment.h has the maths.
//
//   pixels : [images, H, W, C] of 8 bits, all images of a set      indices : [N] which of them
//   table  : [C, 256] normalised value of each pixel value         out : [N, H, W, C]
#pragma once

#include <cstdint>

#include "kernels/philox.h"
#include "kernels/simt/host_device.h"

namespace hinge::kernels {

struct CropAndFlip {
  int top = 0, left = 0;
  bool flip = false;
};

// A pure function of seed, epoch and the image's number: the same on every device. top and left are uniform in
// [0, 2 padding], flip is a fair coin (or false).
SIMT_HOST_DEVICE inline CropAndFlip draw_crop_and_flip(int padding, bool may_flip, std::uint64_t seed,
                                                       std::uint64_t epoch, std::uint64_t image) {
  const PhiloxWords words = random_words(seed, RandomUse::kAugment, epoch, image);
  const auto places = static_cast<std::uint32_t>(2 * padding + 1);
  return {static_cast<int>(uniform_below(words.word[0], places)), static_cast<int>(uniform_below(words.word[1], places)),
          may_flip && (words.word[2] >> 31) != 0};
}

struct AugmentShape {
  std::int64_t n = 0, h = 0, w = 0, c = 0;
  int padding = 0;  // 0 without flips: normalise only
  bool flip = false;
  std::uint64_t seed = 0, epoch = 0;
};
struct AugmentImages {
  static constexpr const char* kName = "augment images";
  using Signature = void(const AugmentShape&, const std::uint8_t* pixels, const std::int32_t* indices,
                         const float* table, float* out);
};

}  // namespace hinge::kernels
