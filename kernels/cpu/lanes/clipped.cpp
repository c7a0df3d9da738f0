// The direct form without a border: of a pixel's window only what lies inside the picture is read and multiplied.
//
//   y[p, q, k] = clamp(b[k] + sum w[k, r, s, c] x[p stride - padding + r, q stride - padding + s, c] + residual[p, q, k])
//   over r, s with the pixel of x inside the picture
//
// With a border every pixel costs R*S taps. A 2x2 picture has 4 of 9 inside for each of its pixels, a 4x4 picture 100 of 144.
#include <algorithm>

#include "kernels/cpu/lanes/convolution.h"

namespace hinge::kernels::lanes {
namespace {

// Taps [begin, end) of `taps` that lie inside [0, extent) when the first lies at `at`.
Rows inside(std::int64_t at, std::int64_t taps, std::int64_t extent) {
  const std::int64_t begin = std::clamp<std::int64_t>(-at, 0, taps);
  return {begin, std::clamp<std::int64_t>(extent - at, begin, taps)};
}

// Of all taps of an axis, how many lie inside.
std::int64_t taps_inside(std::int64_t outputs, std::int64_t stride, std::int64_t padding, std::int64_t taps, std::int64_t extent) {
  std::int64_t count = 0;
  for (std::int64_t o = 0; o < outputs; ++o) {
    const Rows rows = inside(o * stride - padding, taps, extent);
    count += rows.end - rows.begin;
  }
  return count;
}

// Each weight is then read by one core. A tail needs all filters of its pixels.
template <class Element>
bool shares_filters(const ConvSpec& s) {
  return s.tail == 0 && s.groups == 1 && filter_blocks<Element>(s.k) > s.p();
}

}  // namespace

double share_inside(const ConvSpec& s) {
  const auto whole = static_cast<double>(s.p() * s.r * s.q() * s.s);
  return static_cast<double>(taps_inside(s.p(), s.stride, s.padding, s.r, s.h) * taps_inside(s.q(), s.stride, s.padding, s.s, s.w)) / whole;
}

template <class Element>
std::int64_t clipped_parts(const ConvSpec& s) {
  return shares_filters<Element>(s) ? filter_blocks<Element>(s.k) : s.p();
}

template <class Element>
void run_clipped(const Convolution::Parts& conv, const Element* x, const Element* residual, Element* y, Element* scratch, Share share) {
  const ConvSpec& s = conv.spec;
  const std::int64_t c = s.c / s.groups, k = s.k / s.groups, q = s.q(), row_stride = s.w * s.c;
  const bool tail = s.tail > 0;
  Rows rows{0, s.p()}, blocks{0, filter_blocks<Element>(k)};
  (shares_filters<Element>(s) ? blocks : rows) = share.of(clipped_parts<Element>(s));
  if (rows.begin >= rows.end) return;
  const std::int64_t first = rows.begin * q * s.channels_out();
  y += first;
  if (residual != nullptr) residual += first;
  Element* sums = tail ? scratch : y;  // of these rows
  const Element* added = tail ? nullptr : residual;
  Window window{.outer_stride = row_stride, .inner_stride = s.c, .length = c, .filter = s.r * s.s * c};
  for (std::int64_t g = 0; g < s.groups; ++g) {
    const float* packed = conv.weights + g * packed_size<Element>(k, window.filter);
    const float* bias = conv.bias != nullptr ? conv.bias + g * k : nullptr;
    for (std::int64_t block = blocks.begin; block < blocks.end; ++block) {  // a block's weights for all pixels: they are more than the pixels
      for (std::int64_t p = rows.begin; p < rows.end; ++p) {
        const std::int64_t h = p * s.stride - s.padding;
        const Rows r = inside(h, s.r, s.h);
        for (std::int64_t column = 0, end = 0; column < q; column = end) {
          const std::int64_t w = column * s.stride - s.padding;
          const Rows taps = inside(w, s.s, s.w);
          const auto same = [&](std::int64_t other) {
            const Rows its = inside(other * s.stride - s.padding, s.s, s.w);
            return its.begin == taps.begin && its.end == taps.end;
          };
          for (end = column + 1; end < q && same(end);) ++end;
          const bool any = r.end > r.begin && taps.end > taps.begin;
          window.outer = any ? r.end - r.begin : 0, window.inner = any ? taps.end - taps.begin : 0;
          window.begin = any ? (r.begin * s.s + taps.begin) * c : 0, window.gap = (s.s - window.inner) * c;
          const Element* from = any ? x + (h + r.begin) * row_stride + (w + taps.begin) * s.c + g * c : x;
          const PixelRow pixels{.pixels = end - column, .x_step = any ? s.stride * s.c : 0, .y_step = s.k};
          const std::int64_t at = ((p - rows.begin) * q + column) * s.k + g * k;
          product<Element>(window, pixels, k, from, packed, bias, added != nullptr ? added + at : nullptr, tail ? conv.inner : conv.outer, sums + at,
                           {block, block + 1});
        }
      }
    }
  }
  if (tail) run_tail<Element>(conv, (rows.end - rows.begin) * q, sums, residual, y);
}

template std::int64_t clipped_parts<Vector>(const ConvSpec&);
template std::int64_t clipped_parts<float>(const ConvSpec&);
template void run_clipped<Vector>(const Convolution::Parts&, const Vector*, const Vector*, Vector*, Vector*, Share);
template void run_clipped<float>(const Convolution::Parts&, const float*, const float*, float*, float*, Share);

}  // namespace hinge::kernels::lanes
