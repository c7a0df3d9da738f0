// A convolution of one image as a matrix product, filters in the lanes.
//
//   windows : [P*Q, R*S*C]   the window of every output pixel, copied out of the picture with its border
//   y : [P*Q, K] = clamp(b + windows w^T + residual)
//
// Row by row the direct form reads all weights once for each row, and every thread reads all of them. Where weights are
// larger than a cache and pictures are tiny (512 to 512 channels on 4x4 pixels: 9.4 MB for 16 pixels) that is its time.
// Here a thread has some of the filters and all of the pixels: each weight is read once, by one core.
#include <algorithm>

#include "kernels/cpu/lanes/convolution.h"

namespace hinge::kernels::lanes {
namespace {

std::int64_t padded_size(const ConvSpec& s) { return s.padding > 0 ? (s.h + 2 * s.padding) * (s.w + 2 * s.padding) * s.c : 0; }
std::int64_t window_size(const ConvSpec& s) { return s.r * s.s * s.c; }
// A pixel without a neighbourhood is its own window.
bool needs_copy(const ConvSpec& s) { return s.r > 1 || s.s > 1 || s.stride > 1 || s.padding > 0; }

}  // namespace

std::int64_t gathered_scratch(const ConvSpec& s) { return needs_copy(s) ? padded_size(s) + s.p() * s.q() * window_size(s) : 0; }

void run_gathered(const Convolution::Parts& conv, const float* x, const float* residual, float* y, float* scratch, Share share) {
  const ConvSpec& s = conv.spec;
  const Rows blocks = share.of(filter_blocks<float>(s.k));
  if (blocks.begin == blocks.end) return;
  const float* windows = x;
  if (needs_copy(s)) {
    const float* picture = s.padding > 0 ? with_border(s, x, {0, s.h + 2 * s.padding}, scratch) : x;
    const std::int64_t row = (s.w + 2 * s.padding) * s.c;
    float* to = scratch + padded_size(s);
    windows = to;
    for (std::int64_t p = 0; p < s.p(); ++p) {
      for (std::int64_t q = 0; q < s.q(); ++q) {
        const float* corner = picture + p * s.stride * row + q * s.stride * s.c;
        for (std::int64_t r = 0; r < s.r; ++r) to = std::copy_n(corner + r * row, s.s * s.c, to);
      }
    }
  }
  product<float>({.length = window_size(s)}, {.pixels = s.p() * s.q(), .x_step = window_size(s), .y_step = s.k}, s.k, windows, conv.weights, conv.bias, residual,
                 conv.outer, y, {blocks.begin, blocks.end});
}

}  // namespace hinge::kernels::lanes
