// The inner loop of every convolution: a few filters times a few pixels, all sums in registers. Element is Vector (images
// in the lanes) or float (filters in the lanes).
//
//   y[pixel, k] = clamp(b[k] + sum_j w[k, j] x[pixel + j] + residual[pixel, k])
//
// j runs over the filter's window. The window of a pixel is `outer` x `inner` runs of `length` elements:
// R runs of S*C for an ordinary convolution, R*S runs of C/groups for a grouped one, one run of C for a 1x1.
#pragma once

#include "kernels/cpu/lanes/vector.h"

namespace hinge::kernels::lanes {

// Filters come in blocks of nearly equal size; a block's weights lie together as [j][filter]. With images in the lanes a
// block has at most 8 filters; with filters in the lanes at most 4 vectors, the last one filled up with zeros.
template <class Element>
std::int64_t packed_size(std::int64_t k, std::int64_t window);
// w : [K, window] -> packed_size floats.
template <class Element>
void pack_filters(std::int64_t k, std::int64_t window, const float* w, float* packed);

struct Window {  // strides in elements
  std::int64_t outer = 1, outer_stride = 0, inner = 1, inner_stride = 0, length = 1;
  // A part of a filter: where it begins, what is left out behind each outer run, and the whole filter's size (0: it is whole).
  std::int64_t begin = 0, gap = 0, filter = 0;
  std::int64_t filter_size() const { return filter > 0 ? filter : outer * inner * length; }
};

struct PixelRow {  // steps in elements
  std::int64_t pixels = 0;
  std::int64_t x_step = 0, y_step = 0;
};

// Blocks that K filters come in, and a block's first filter; behind the last block K.
template <class Element>
std::int64_t filter_blocks(std::int64_t k);
template <class Element>
std::int64_t first_filter(std::int64_t k, std::int64_t block);

// Blocks [begin, end), as far as there are so many.
struct BlockRange {
  std::int64_t begin = 0, end = std::numeric_limits<std::int64_t>::max();
};

// A row of pixels through all K filters, or through some blocks of them. `packed`, b, residual and y are those of all filters;
// b and residual may be null; residual has y's steps.
template <class Element>
void product(const Window& window, const PixelRow& row, std::int64_t k, const Element* x, const float* packed, const float* b,
             const Element* residual, Clamp clamp, Element* y, BlockRange blocks = {});

}  // namespace hinge::kernels::lanes
