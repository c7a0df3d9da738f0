// Images in the lanes; filters in the lanes are in filter_product.cpp.
#include "kernels/cpu/lanes/product.h"

#include "kernels/cpu/lanes/blocks.h"

namespace hinge::kernels::lanes {
namespace {

constexpr Blocks kBlocks{.most = 8, .unit = 1};

struct Tile {
  const Window& window;
  const Vector* x;
  std::int64_t x_step;
  const float* w;
  const float* b;
  const Vector* residual;
  Clamp clamp;
  Vector* y;
  std::int64_t y_step;
};

// Each step of the sum reads P pixels and K weights for K P multiply-adds.
template <int K, int P>
struct Compute {
  static void run(const Tile& tile) {
    Vector sums[P][K];
    for (int p = 0; p < P; ++p) {
      for (int k = 0; k < K; ++k) sums[p][k] = broadcast(tile.b != nullptr ? tile.b[k] : 0.0f);
    }
    const Window& window = tile.window;
    const float* w = tile.w;
    for (std::int64_t o = 0; o < window.outer; ++o) {
      if (o > 0) w += window.gap * K;
      for (std::int64_t i = 0; i < window.inner; ++i) {
        const Vector* run = tile.x + o * window.outer_stride + i * window.inner_stride;
        for (std::int64_t j = 0; j < window.length; ++j, w += K) {
          Vector pixels[P];
          for (int p = 0; p < P; ++p) pixels[p] = run[p * tile.x_step + j];
          for (int k = 0; k < K; ++k) {
            const Vector weight = broadcast(w[k]);
            for (int p = 0; p < P; ++p) sums[p][k] += pixels[p] * weight;
          }
        }
      }
    }
    for (int p = 0; p < P; ++p) {
      for (int k = 0; k < K; ++k) {
        const std::int64_t at = p * tile.y_step + k;
        if (tile.residual != nullptr) sums[p][k] += tile.residual[at];
        tile.y[at] = clamped(sums[p][k], tile.clamp);
      }
    }
  }
};

constexpr auto kTable = make_table<Tile, Compute>(std::make_index_sequence<kBlocks.most>());

}  // namespace

template <>
std::int64_t packed_size<Vector>(std::int64_t k, std::int64_t window) {
  return k * window;
}

template <>
void pack_filters<Vector>(std::int64_t k, std::int64_t window, const float* w, float* packed) {
  kBlocks.pack(k, window, w, packed);
}

template <>
std::int64_t filter_blocks<Vector>(std::int64_t k) {
  return kBlocks.count(k);
}
template <>
std::int64_t first_filter<Vector>(std::int64_t k, std::int64_t block) {
  return std::min(k, kBlocks.begin(k, block));
}

template <>
void product<Vector>(const Window& window, const PixelRow& row, std::int64_t k, const Vector* x, const float* packed, const float* b,
                     const Vector* residual, Clamp clamp, Vector* y, BlockRange blocks) {
  packed += kBlocks.begin(k, blocks.begin) * window.filter_size();
  for (std::int64_t block = blocks.begin; block < std::min(blocks.end, kBlocks.count(k)); ++block) {
    const std::int64_t begin = kBlocks.begin(k, block), filters = kBlocks.begin(k, block + 1) - begin;
    const auto& computes = kTable[static_cast<std::size_t>(filters)];
    for_pieces(row.pixels, pixels_for(static_cast<int>(filters)), [&](std::int64_t first, std::int64_t count) {
      const std::int64_t at = first * row.y_step + begin;
      computes[static_cast<std::size_t>(count)]({window, x + first * row.x_step, row.x_step, packed + window.begin * filters, b != nullptr ? b + begin : nullptr,
                                                 residual != nullptr ? residual + at : nullptr, clamp, y + at, row.y_step});
    });
    packed += filters * window.filter_size();
  }
}

}  // namespace hinge::kernels::lanes
