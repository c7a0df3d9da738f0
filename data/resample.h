// Resizing with a filter that grows with the reduction, and the two crops of ImageNet training.
//
//   y[i] = sum_j w[i, j] x[j] / sum_j w[i, j]      w[i, j] = max(0, 1 - |j + 1/2 - (i + 1/2) scale| / max(scale, 1))
//   scale = size of x / size of y, along each side in turn
//
// This is the "bilinear, antialias" of PIL and torchvision, without their 8-bit rounding between the two sides.
#pragma once

#include <cstdint>

#include "data/decode.h"

namespace hinge::data {

// What an output is taken from: `box` of the picture is resized to height x width, of which the size x size pixels at
// (top, left) are made. Nothing outside the box is read.
struct Resampling {
  Box box;
  int height = 0, width = 0;
  int top = 0, left = 0, size = 0;
};

// out : [size, size, 3]
void resample(const Picture& picture, const Resampling& how, std::uint8_t* out);

// The same from a part that holds what is read. Of a part that is not scaled the result is the whole picture's; of a scaled one
// the box's edges lie between pixels, and of those that an edge cuts the whole is read.
void resample(const Part& part, const Resampling& how, std::uint8_t* out);

// The pixels that `how` reads: all of the box in a random crop, less of it where the output is the middle of what is resized.
Box box_read_by(const Resampling& how);

// The shorter side becomes `shorter` (the longer one is rounded down), then the middle size x size: torchvision's
// Resize(shorter) and CenterCrop(size).
Resampling centre_crop(int height, int width, int shorter, int size);

struct RandomCropOptions {
  double least_area = 0.08;  // share of the picture's area, up to 1
  double least_ratio = 3.0 / 4.0, largest_ratio = 4.0 / 3.0;
};
// torchvision's RandomResizedCrop: a box of random area and aspect ratio (uniform in its logarithm), ten tries, then the
// largest box in the middle with an allowed ratio. A pure function of seed, epoch and the image's number.
Box random_box(int height, int width, const RandomCropOptions& options, std::uint64_t seed, std::uint64_t epoch, std::uint64_t image);

}  // namespace hinge::data
