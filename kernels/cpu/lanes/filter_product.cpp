// Filters in the lanes: a few vectors of filters times a few pixels of one image.
#include "kernels/cpu/lanes/blocks.h"
#include "kernels/cpu/lanes/product.h"

namespace hinge::kernels::lanes {
namespace {

constexpr Blocks kBlocks{.most = 4, .unit = kLanes};

struct Tile {
  const Window& window;
  const float* x;
  std::int64_t x_step;
  const float* w;
  const float* b;         // null, or of this block
  const float* residual;  // null, or of this block
  Clamp clamp;
  float* y;
  std::int64_t y_step;
  std::int64_t filters;  // of this block; the last vector may have fewer than L
};

// Each step of the sum reads V vectors of weights and P pixels for V P multiply-adds.
template <int V, int P>
struct Compute {
  static void run(const Tile& tile) {
    Vector sums[P][V];
    for (int v = 0; v < V; ++v) {
      const Vector bias = tile.b != nullptr ? load_some(tile.b + v * kLanes, tile.filters - v * kLanes) : Vector{};
      for (int p = 0; p < P; ++p) sums[p][v] = bias;
    }
    const Window& window = tile.window;
    const float* w = tile.w;
    for (std::int64_t o = 0; o < window.outer; ++o) {
      if (o > 0) w += window.gap * V * kLanes;
      for (std::int64_t i = 0; i < window.inner; ++i) {
        const float* run = tile.x + o * window.outer_stride + i * window.inner_stride;
        for (std::int64_t j = 0; j < window.length; ++j, w += V * kLanes) {
          Vector weights[V];
          for (int v = 0; v < V; ++v) weights[v] = reinterpret_cast<const LooseVector*>(w)[v];
          for (int p = 0; p < P; ++p) {
            const Vector pixel = broadcast(run[p * tile.x_step + j]);
            for (int v = 0; v < V; ++v) sums[p][v] += pixel * weights[v];
          }
        }
      }
    }
    for (int p = 0; p < P; ++p) {
      for (int v = 0; v < V; ++v) {
        const std::int64_t at = p * tile.y_step + v * kLanes, count = tile.filters - v * kLanes;
        if (tile.residual != nullptr) sums[p][v] += load_some(tile.residual + at, count);
        store_some(tile.y + at, clamped(sums[p][v], tile.clamp), count);
      }
    }
  }
};

constexpr auto kTable = make_table<Tile, Compute>(std::make_index_sequence<kBlocks.most>());

}  // namespace

template <>
std::int64_t packed_size<float>(std::int64_t k, std::int64_t window) {
  return kBlocks.units(k) * kBlocks.unit * window;
}

template <>
void pack_filters<float>(std::int64_t k, std::int64_t window, const float* w, float* packed) {
  kBlocks.pack(k, window, w, packed);
}

template <>
std::int64_t filter_blocks<float>(std::int64_t k) {
  return kBlocks.count(k);
}
template <>
std::int64_t first_filter<float>(std::int64_t k, std::int64_t block) {
  return std::min(k, kBlocks.begin(k, block));
}

template <>
void product<float>(const Window& window, const PixelRow& row, std::int64_t k, const float* x, const float* packed, const float* b,
                    const float* residual, Clamp clamp, float* y, BlockRange blocks) {
  packed += kBlocks.begin(k, blocks.begin) * window.filter_size();
  for (std::int64_t block = blocks.begin; block < std::min(blocks.end, kBlocks.count(k)); ++block) {
    const std::int64_t begin = kBlocks.begin(k, block), width = kBlocks.begin(k, block + 1) - begin, vectors = width / kLanes;
    const auto& computes = kTable[static_cast<std::size_t>(vectors)];
    for_pieces(row.pixels, pixels_for(static_cast<int>(vectors)), [&](std::int64_t first, std::int64_t count) {
      const std::int64_t at = first * row.y_step + begin;
      computes[static_cast<std::size_t>(count)]({window, x + first * row.x_step, row.x_step, packed + window.begin * width, b != nullptr ? b + begin : nullptr,
                                                 residual != nullptr ? residual + at : nullptr, clamp, y + at, row.y_step, k - begin});
    });
    packed += width * window.filter_size();
  }
}

}  // namespace hinge::kernels::lanes
