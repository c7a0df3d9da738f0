// Winograd's minimal filtering F(4x4, 3x3) on one block of images, or on one image (Lavin & Gray, CVPR 2016).
//
//   Y = A^T [ sum_c (G g_c G^T) * (B^T d_c B) ] A      d : 6x6 pixels in, Y : 4x4 pixels out, * elementwise
//
// 36 multiplications where the formula has 144. The sum over channels is 36 small matrix products. Tiles are computed in
// chunks whose transforms stay in the second-level cache. With a lane per image the transforms need no shuffles and
// any number of channels is as good as another; with one image a register holds neighbouring channels.
#include <algorithm>

#include "kernels/cpu/lanes/blocks.h"
#include "kernels/cpu/lanes/convolution.h"

namespace hinge::kernels::lanes {
namespace {

constexpr int kTile = 6, kOut = 4, kPoints = kTile * kTile;
constexpr std::int64_t kChunkBytes = 640 << 10;  // of the 1 MiB that a core has to itself

// What a register holds of one pixel: a channel of all images, or some channels of the image.
template <class Element>
inline constexpr std::int64_t kChannels = sizeof(Vector) / sizeof(Element);

inline Vector load(const Vector* from, std::int64_t) { return *from; }
inline Vector load(const float* from, std::int64_t count) { return load_some(from, count); }
inline void store(Vector* to, Vector v, std::int64_t) { *to = v; }
inline void store(float* to, Vector v, std::int64_t count) { store_some(to, v, count); }
// One filter's bias for all images, or those of some filters.
inline Vector bias_of(const Vector*, const float* b, std::int64_t) { return broadcast(*b); }
inline Vector bias_of(const float*, const float* b, std::int64_t count) { return load_some(b, count); }

// From one point's sums to the next's: whole registers, and an odd number of them, or the 36 points of a tile would fall on the same
// sets of the first-level cache.
template <class Element>
std::int64_t point_step(std::int64_t tiles, std::int64_t channels) {
  return ((tiles * channels + kChannels<Element> - 1) / kChannels<Element> | 1) * kChannels<Element>;
}

std::int64_t tiles_along(std::int64_t extent) { return (extent + kOut - 1) / kOut; }

// Interpolation points 0, +-kA, +-kB and infinity: these keep the matrices' entries small and rounding errors at a third of
// what the usual +-1, +-2 give (Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution", 2020).
constexpr float kA = 0.625f, kB = 1.5f;  // exact, and so are all products below
constexpr float kA2 = kA * kA, kB2 = kB * kB;

// t = B^T d for six values.
inline void transform_in(const Vector* d, std::int64_t step, Vector* t, std::int64_t t_step) {
  const Vector d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
  const Vector a = d4 - kB2 * d2, b = kA * d3 - kA * kB2 * d1, c = d4 - kA2 * d2, e = kB * d3 - kB * kA2 * d1;
  t[0] = kA2 * kB2 * d0 - (kA2 + kB2) * d2 + d4;
  t[t_step] = a + b;
  t[2 * t_step] = a - b;
  t[3 * t_step] = c + e;
  t[4 * t_step] = c - e;
  t[5 * t_step] = kA2 * kB2 * d1 - (kA2 + kB2) * d3 + d5;
}

// y = A^T m for six values.
inline void transform_out(const Vector* m, std::int64_t step, Vector* y) {
  const Vector a = m[step] + m[2 * step], b = m[step] - m[2 * step], c = m[3 * step] + m[4 * step], e = m[3 * step] - m[4 * step];
  y[0] = m[0] + a + c;
  y[1] = kA * b + kB * e;
  y[2] = kA2 * a + kB2 * c;
  y[3] = kA * kA2 * b + kB * kB2 * e + m[5 * step];
}

// G g for three values: the filter's polynomial at each point, over the product of the point's distances to the others.
void transform_filter(const double* g, int step, double* u, int u_step) {
  const double g0 = g[0], g1 = g[step], g2 = g[2 * step], a = kA, b = kB;
  const auto at = [&](double point, double distances) { return (g0 + g1 * point + g2 * point * point) / distances; };
  const double of_a = 2 * a * a * (a * a - b * b), of_b = 2 * b * b * (b * b - a * a);
  u[0] = at(0.0, a * a * b * b);
  u[u_step] = at(a, of_a), u[2 * u_step] = at(-a, of_a);
  u[3 * u_step] = at(b, of_b), u[4 * u_step] = at(-b, of_b);
  u[5 * u_step] = g2;
}

// Tiles beside each other are transformed together: down a column of six pixels once, where two tiles meet there too. So many
// that what lies between the two halves is 13 kB.
constexpr std::int64_t kTilesBeside = 8;

// The 6x6 pixels of `tiles` tiles beside each other, the first of whose outputs begins at (p, q); v[point] gets the transforms
// of all channels, tile by tile. A zero has as many channels as x.
template <class Element>
void tiles_in(const ConvSpec& s, const Element* x, const Element* zeros, std::int64_t p, std::int64_t q, std::int64_t tiles, Element* v, std::int64_t step) {
  constexpr std::int64_t kWidth = kTilesBeside * kOut + 2;
  const Element* rows[kTile];
  std::int64_t pixel[kTile];  // from one to the next
  for (int i = 0; i < kTile; ++i) {
    const std::int64_t h = p - s.padding + i;
    const bool inside = h >= 0 && h < s.h;
    rows[i] = inside ? x + h * s.w * s.c : zeros, pixel[i] = inside ? s.c : 0;
  }
  const std::int64_t left = q - s.padding, width = tiles * kOut + 2;
  const std::int64_t first = std::clamp<std::int64_t>(-left, 0, width), last = std::clamp<std::int64_t>(s.w - left, first, width);
  Vector t[kTile][kWidth];
  for (std::int64_t i = 0; i < kTile; ++i) {
    std::fill_n(t[i], first, Vector{});
    std::fill(t[i] + last, t[i] + width, Vector{});
  }
  for (std::int64_t c = 0; c < s.c; c += kChannels<Element>) {
    const std::int64_t count = s.c - c;
    for (std::int64_t j = first; j < last; ++j) {
      Vector d[kTile];
      for (int i = 0; i < kTile; ++i) d[i] = load(rows[i] + (left + j) * pixel[i] + c, count);
      transform_in(d, 1, t[0] + j, kWidth);
    }
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      for (int i = 0; i < kTile; ++i) {
        Element* to = v + tile * s.c + i * kTile * step + c;
        if constexpr (kChannels<Element> == 1) {  // by way of the stack 3 % of a compressed ResNet-56
          transform_in(t[i] + tile * kOut, 1, to, step);
        } else {
          Vector u[kTile];
          transform_in(t[i] + tile * kOut, 1, u, 1);
          for (int j = 0; j < kTile; ++j) store(to + j * step, u[j], count);
        }
      }
    }
  }
}

struct TileOut {
  std::int64_t rows, columns;  // of the tile's 4x4 pixels, those inside the picture
  Rows filters;                // those that are written
  std::int64_t row_step, pixel_step;
};

// m[point] holds the K sums of one tile. residual (or null) and y have the same steps.
template <class Element>
void tile_out(const TileOut& tile, const Element* m, std::int64_t step, const float* b, const Element* residual, Clamp clamp, Element* y) {
  for (std::int64_t k = tile.filters.begin; k < tile.filters.end; k += kChannels<Element>) {
    const std::int64_t count = tile.filters.end - k;
    Vector t[kTile][kOut], out[kOut];
    for (int j = 0; j < kTile; ++j) {
      if constexpr (kChannels<Element> == 1) {
        transform_out(m + j * step + k, kTile * step, t[j]);
      } else {
        Vector sums[kTile];
        for (int i = 0; i < kTile; ++i) sums[i] = load(m + (i * kTile + j) * step + k, count);
        transform_out(sums, 1, t[j]);
      }
    }
    const Vector bias = b != nullptr ? bias_of(m, b + k, count) : Vector{};
    for (std::int64_t i = 0; i < tile.rows; ++i) {
      transform_out(&t[0][i], kOut, out);
      for (std::int64_t j = 0; j < tile.columns; ++j) {
        const std::int64_t at = i * tile.row_step + j * tile.pixel_step + k;
        Vector value = out[j] + bias;
        if (residual != nullptr) value += load(residual + at, count);
        store(y + at, clamped(value, clamp), count);
      }
    }
  }
}

// Tiles that are computed together.
struct Chunk {
  std::int64_t rows = 1, columns = 1;
  std::int64_t tiles() const { return rows * columns; }
};

template <class Element>
Chunk chunk_for(const ConvSpec& s) {
  const std::int64_t tile_rows = tiles_along(s.p()), tile_columns = tiles_along(s.q());
  const std::int64_t bytes = kPoints * (s.c + s.k) * static_cast<std::int64_t>(sizeof(Element));
  const std::int64_t fit = std::max<std::int64_t>(2, kChunkBytes / bytes);
  if (fit < tile_columns) {  // cuts a row into pieces of nearly equal size
    const std::int64_t pieces = (tile_columns + fit - 1) / fit;
    return {1, (tile_columns + pieces - 1) / pieces};
  }
  return {std::min(tile_rows, fit / tile_columns), tile_columns};
}

// A tail needs all filters of its pixels.
template <class Element>
bool shares_filters(const ConvSpec& s, std::int64_t count) {
  const std::int64_t rows = tiles_along(s.p());
  return s.tail == 0 && rows < count && filter_blocks<Element>(s.k) > rows;
}

}  // namespace

template <class Element>
std::int64_t winograd_parts(const ConvSpec& s, std::int64_t count) {
  return shares_filters<Element>(s, count) ? filter_blocks<Element>(s.k) : tiles_along(s.p());
}

template <class Element>
std::int64_t winograd_scratch(const ConvSpec& s) {
  const Chunk chunk = chunk_for<Element>(s);
  const std::int64_t inner = s.tail > 0 ? chunk.tiles() * kOut * kOut * s.k : 0;
  return point_step<Element>(1, s.c) + kPoints * (point_step<Element>(chunk.tiles(), s.c) + point_step<Element>(chunk.tiles(), s.k)) + inner;
}

template <class Element>
std::vector<float> pack_winograd(const ConvSpec& s, const float* w) {
  const std::int64_t filters = s.k * s.c, size = packed_size<Element>(s.k, s.c);
  std::vector<float> transformed(static_cast<std::size_t>(kPoints * filters)), packed(static_cast<std::size_t>(kPoints * size));
  for (std::int64_t k = 0; k < s.k; ++k) {
    for (std::int64_t c = 0; c < s.c; ++c) {
      double g[9], t[18], u[kPoints];
      for (int i = 0; i < 9; ++i) g[i] = static_cast<double>(w[(k * 9 + i) * s.c + c]);
      for (int j = 0; j < 3; ++j) transform_filter(g + j, 3, t + j, 3);
      for (int i = 0; i < kTile; ++i) transform_filter(t + i * 3, 1, u + i * kTile, 1);
      for (int i = 0; i < kPoints; ++i) transformed[static_cast<std::size_t>(i * filters + k * s.c + c)] = static_cast<float>(u[i]);
    }
  }
  for (int i = 0; i < kPoints; ++i) pack_filters<Element>(s.k, s.c, transformed.data() + i * filters, packed.data() + i * size);
  return packed;
}

template <class Element>
void run_winograd(const Convolution::Parts& conv, const Element* x, const Element* residual, Element* y, Element* scratch, Share share) {
  const ConvSpec& s = conv.spec;
  Rows tile_rows{0, tiles_along(s.p())}, blocks{0, filter_blocks<Element>(s.k)};
  if (shares_filters<Element>(s, share.count)) {
    blocks = share.of(blocks.end);
  } else {
    tile_rows = share.of(tile_rows.end);
  }
  if (tile_rows.begin == tile_rows.end || blocks.begin == blocks.end) return;
  const Rows filters{first_filter<Element>(s.k, blocks.begin), first_filter<Element>(s.k, blocks.end)};
  const Chunk most = chunk_for<Element>(s);
  const std::int64_t p = s.p(), q = s.q(), out = s.channels_out(), packed = packed_size<Element>(s.k, s.c);
  Element* zeros = scratch;
  Element* v = zeros + point_step<Element>(1, s.c);
  Element* m = v + kPoints * point_step<Element>(most.tiles(), s.c);
  Element* inner = m + kPoints * point_step<Element>(most.tiles(), s.k);
  std::fill_n(zeros, s.c, Element{});
  for (std::int64_t row = tile_rows.begin; row < tile_rows.end; row += most.rows) {
    for (std::int64_t column = 0; column < tiles_along(q); column += most.columns) {
      const Chunk chunk{std::min(most.rows, tile_rows.end - row), std::min(most.columns, tiles_along(q) - column)};
      const std::int64_t tiles = chunk.tiles(), v_step = point_step<Element>(tiles, s.c), m_step = point_step<Element>(tiles, s.k);
      for (std::int64_t r = 0; r < chunk.rows; ++r) {
        for_pieces(chunk.columns, kTilesBeside, [&](std::int64_t first, std::int64_t count) {
          tiles_in(s, x, zeros, (row + r) * kOut, (column + first) * kOut, count, v + (r * chunk.columns + first) * s.c, v_step);
        });
      }
      for (std::int64_t point = 0; point < kPoints; ++point) {
        product<Element>({.length = s.c}, {.pixels = tiles, .x_step = s.c, .y_step = s.k}, s.k, v + point * v_step, conv.weights + point * packed,
                         nullptr, nullptr, {}, m + point * m_step, {blocks.begin, blocks.end});
      }
      // Behind the sums: into the picture, or with a tail into rows of pixels beside each other and from there.
      const std::int64_t width = std::min(chunk.columns * kOut, q - column * kOut);
      for (std::int64_t t = 0; t < tiles; ++t) {
        const std::int64_t h = (row + t / chunk.columns) * kOut, left = t % chunk.columns * kOut, w = column * kOut + left;
        TileOut tile{.rows = std::min<std::int64_t>(kOut, p - h), .columns = std::min<std::int64_t>(kOut, q - w), .filters = filters, .row_step = 0, .pixel_step = s.k};
        if (s.tail > 0) {
          tile.row_step = width * s.k;
          tile_out<Element>(tile, m + t * s.k, m_step, conv.bias, nullptr, conv.inner, inner + ((t / chunk.columns * kOut) * width + left) * s.k);
        } else {
          tile.row_step = q * s.k;
          const std::int64_t at = (h * q + w) * s.k;
          tile_out(tile, m + t * s.k, m_step, conv.bias, residual != nullptr ? residual + at : nullptr, conv.outer, y + at);
        }
      }
      if (s.tail == 0) continue;
      const std::int64_t height = std::min(chunk.rows * kOut, p - row * kOut);
      for (std::int64_t h = 0; h < height; ++h) {
        const std::int64_t at = ((row * kOut + h) * q + column * kOut) * out;
        run_tail<Element>(conv, width, inner + h * width * s.k, residual != nullptr ? residual + at : nullptr, y + at);
      }
    }
  }
}

template std::int64_t winograd_parts<Vector>(const ConvSpec&, std::int64_t);
template std::int64_t winograd_parts<float>(const ConvSpec&, std::int64_t);
template std::int64_t winograd_scratch<Vector>(const ConvSpec&);
template std::int64_t winograd_scratch<float>(const ConvSpec&);
template std::vector<float> pack_winograd<Vector>(const ConvSpec&, const float*);
template std::vector<float> pack_winograd<float>(const ConvSpec&, const float*);
template void run_winograd<Vector>(const Convolution::Parts&, const Vector*, const Vector*, Vector*, Vector*, Share);
template void run_winograd<float>(const Convolution::Parts&, const float*, const float*, float*, float*, Share);

}  // namespace hinge::kernels::lanes
