// The images of a set, 8 bits a pixel, in a GPU's memory, and batches made of them there.
//
// CIFAR-10 takes 150 MB. Making a batch of 128 on the GPU takes it microseconds; the CPU's threads would be slower than
// the training. The random numbers and the arithmetic are those of data/augment.h: the same batches, bit for bit.
#pragma once

#include <vector>

#include "data/augment.h"
#include "engine/core/tensor.h"

namespace hinge::cli {

class DeviceImages {
 public:
  // Above this a set stays on the host: the network needs room too.
  static constexpr std::size_t kMostBytes = std::size_t{4} << 30;
  // Can batches of `set` be made on `device`?
  static bool serves(const data::ImageSet& set, Device device) {
    return !device.is_cpu() && !set.pixels.empty() && set.pixels.size() <= kMostBytes;
  }

  // Copies the pixels; `set` is not needed afterwards.
  DeviceImages(const data::ImageSet& set, const data::Normalization& normalization, const Stream& stream);
  // [N, H, W, C] on the device: images `indices` of the set, in range, augmented as `options` says for `epoch`, or
  // (augment false) normalised alone.
  Tensor batch(const std::vector<int>& indices, bool augment, const data::AugmentOptions& options, std::uint64_t epoch);

 private:
  Stream stream_;
  std::int64_t h_, w_, c_;
  Tensor pixels_, table_;
};

}  // namespace hinge::cli
