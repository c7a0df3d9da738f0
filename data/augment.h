// From 8-bit pixels to normalised float32, with the usual augmentation: pad, crop, mirror; and the
// epoch's order.
//
//   padded = image with `padding` pixels of value 0 on each side                          [H + 2p,
//   W + 2p, C] out[y, x, c] = (padded[top + y, left + x', c] / 255 - mean[c]) / std[c] [H, W, C] x'
//   = flip ? W - 1 - x : x
//
// The padding is black before normalisation, as RandomCrop on an 8-bit image has it, so the border
// is -mean/std. All randomness is Philox, a pure function of seed, epoch and image: threads and
// restarts do not change it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset.h"

namespace hinge::data {

struct AugmentOptions {
  int padding = 4;
  bool flip = true;
  std::uint64_t seed = 0;
};

// Where the crop starts in the padded image, and whether it is mirrored. {padding, padding, false}
// is the identity.
struct Augmentation {
  int top = 0, left = 0;
  bool flip = false;

  bool operator==(const Augmentation&) const = default;
};

// top and left are uniform in [0, 2 * padding], flip is a fair coin (or false). `image` is the
// index in the set, not the position in the epoch.
Augmentation draw_augmentation(const AugmentOptions& options, std::uint64_t epoch,
                               std::uint64_t image);

// The normalised value of each of the 256 pixel values, per channel. Converts from Normalization on
// its own, so a caller with one image passes that, and a caller with many makes this once.
class Normalizer {
 public:
  Normalizer(const Normalization& normalization);  // NOLINT(google-explicit-constructor)

  int channels() const { return static_cast<int>(tables_.size()); }
  const std::array<float, 256>& table(int channel) const {
    return tables_[static_cast<std::size_t>(channel)];
  }

 private:
  std::vector<std::array<float, 256>> tables_;
};

// pixels, out: [H, W, C]. See the top of the file.
void write_image(const std::uint8_t* pixels, int height, int width, int channels,
                 const Normalizer& normalizer, const Augmentation& augmentation, int padding,
                 float* out);

// A uniform permutation of `indices`, the same on every platform for the same seed and epoch.
std::vector<int> shuffled(std::span<const int> indices, std::uint64_t seed, std::uint64_t epoch);

}  // namespace hinge::data
