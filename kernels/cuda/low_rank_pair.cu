// A low-rank pair in one kernel; see low_rank_pair.h.
//
// A block makes a tile of output pixels by two matrix products. The first gathers its left side from the picture, 16 of the
// R x S x C taps at a time, and leaves the rank's values in shared memory, [rank][pixels]; the second multiplies them by the
// 1x1 filters, 16 ranks at a time, and is written once. In both a thread has 8 pixels x 2 or 4 columns in registers: a column
// is a rank or a channel, and neighbouring threads have neighbouring columns, so that they write next to each other.
//
//   ranks         pixels   threads   ranks, channels of a pass   shared bytes at most
//     1 ..   8       128        64             8,  16               15,872
//     9 ..  16       128        64            16,  16               19,968
//    17 ..  64       128       128            32,  32               45,568
//    65 .. 128        64       128            64,  64               42,496
//   129 .. 256        32       128            64, 128               44,032
#include "kernels/low_rank_pair.h"

#include <stdexcept>

#include "kernels/device/divisor.cuh"
#include "kernels/device/vector.cuh"
#include "kernels/registry.h"

namespace hinge::kernels::cuda {
namespace {

using namespace device;

constexpr int kDepth = 16;          // products of each sum between two barriers
constexpr int kPixelsOfThread = 8;  // two runs of four, half a tile apart: neighbours' float4 lie side by side
constexpr int kChannelsOfThread = 4;
constexpr int kPadding = kVectorFloats;  // of a row of shared memory: keeps float4 aligned and spreads a column over the banks
constexpr std::size_t kSharedBytes = 48 * 1024;
constexpr int kThreadsOfProcessor = 512;  // at least so many at a time: 128 registers each. Asked for more, nvcc 13 spills

template <int pixels, int threads, int ranks_of_thread>
struct PairTile {
  static constexpr int kPixels = pixels, kThreads = threads, kRanksOfThread = ranks_of_thread;
  static constexpr int kColumnThreads = kThreads / (kPixels / kPixelsOfThread);
  static constexpr int kRanks = kColumnThreads * kRanksOfThread, kChannels = kColumnThreads * kChannelsOfThread;
  static constexpr int kTapRow = kPixels + kPadding, kWeightRow = (kRanks > kChannels ? kRanks : kChannels) + kPadding;
  static constexpr std::size_t shared_bytes(std::size_t rank) {
    return (kDepth * (kTapRow + kWeightRow) + rank * kPixels) * sizeof(float) + kPixels * (sizeof(std::int64_t) + 2 * sizeof(int));
  }
};

// The shape in the kernel's words.
struct PairGrid {
  std::int64_t pixels;
  Divisor by_q, by_p;
  int h, w, c, s, stride, padding;
  int depth;  // R*S*C
  int rank, k;
  Clamp inner, outer;
  bool wide_x, wide_u, wide_v, wide_y;  // may be read or written 16 bytes at a time
};

// Where the window of each of the tile's pixels begins.
template <int kPixels>
struct Windows {
  std::int64_t* origin;  // of x; outside of the picture where there is padding
  int *top, *left;
};

__device__ float4 load_shared(const float* address) { return *reinterpret_cast<const float4*>(address); }
__device__ void store_shared(float* address, float4 value) { *reinterpret_cast<float4*>(address) = value; }

template <int kPixels>
__device__ void find_windows(const PairGrid& g, std::int64_t first, const Windows<kPixels>& windows) {
  for (int i = static_cast<int>(threadIdx.x); i < kPixels; i += static_cast<int>(blockDim.x)) {
    const std::int64_t pixel = first + i, row = g.by_q.quotient(pixel), n = g.by_p.quotient(row);
    const int left = static_cast<int>(g.by_q.remainder(pixel)) * g.stride - g.padding;
    const int top = static_cast<int>(g.by_p.remainder(row)) * g.stride - g.padding;
    windows.origin[i] = ((n * g.h + top) * g.w + left) * g.c;
    windows.top[i] = pixel < g.pixels ? top : g.h;  // no tap of a pixel that isn't there is in the picture
    windows.left[i] = left;
  }
}

// kWidth neighbours of a row of weights or of a pixel's channels become a column of shared memory.
template <int kWidth>
__device__ void transpose_load(const float* from, bool exists, float* to, int row) {
  if constexpr (kWidth == kVectorFloats) {
    const float4 v = exists ? load_vector(from) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    to[0] = v.x, to[row] = v.y, to[2 * row] = v.z, to[3 * row] = v.w;
  } else {
    to[0] = exists ? *simt::global(from) : 0.0f;
  }
}

// Taps first .. first + 15 of all windows -> [16][pixels]; zeros outside.
template <int kWidth, class Tile>
__device__ void load_taps(const PairGrid& g, const float* x, const Windows<Tile::kPixels>& windows, int first, float* taps) {
  constexpr int kLanes = kDepth / kWidth;
  const int lane = static_cast<int>(threadIdx.x) % kLanes * kWidth, tap = first + lane;
  const int c = tap % g.c, s = tap / g.c % g.s, r = tap / g.c / g.s;
  const std::int64_t offset = (static_cast<std::int64_t>(r) * g.w + s) * g.c + c;
#pragma unroll 2
  for (int pixel = static_cast<int>(threadIdx.x) / kLanes; pixel < Tile::kPixels; pixel += Tile::kThreads / kLanes) {
    const int h = windows.top[pixel] + r, w = windows.left[pixel] + s;
    const bool exists = tap < g.depth && h >= 0 && h < g.h && w >= 0 && w < g.w;
    transpose_load<kWidth>(exists ? x + windows.origin[pixel] + offset : x, exists, taps + lane * Tile::kTapRow + pixel, Tile::kTapRow);
  }
}

// [rows, depth] from row `first_row` and position `first` on -> [16][columns]; zeros outside.
template <int kWidth, class Tile>
__device__ void load_weights(const float* matrix, int rows, int depth, int first_row, int first, int columns, float* weights) {
  constexpr int kLanes = kDepth / kWidth;
  for (int i = static_cast<int>(threadIdx.x); i < columns * kLanes; i += Tile::kThreads) {
    const int lane = i % kLanes * kWidth, column = i / kLanes, row = first_row + column;
    const bool exists = row < rows && first + lane < depth;
    transpose_load<kWidth>(exists ? matrix + static_cast<std::int64_t>(row) * depth + first + lane : matrix, exists,
                           weights + lane * Tile::kWeightRow + column, Tile::kWeightRow);
  }
}

// sums[i][j] += sum over `depth` rows of left[row][pixel i] right[row][column j]; left and right point to the thread's own.
template <int kColumns>
__device__ void multiply_add(int depth, const float* left, int left_row, int half, const float* right, int right_row,
                             float (&sums)[kPixelsOfThread][kColumns]) {
#pragma unroll 4
  for (int d = 0; d < depth; ++d) {
    const float4 low = load_shared(left + d * left_row), high = load_shared(left + d * left_row + half);
    const float pixels[kPixelsOfThread] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    float columns[kColumns];
    if constexpr (kColumns == kVectorFloats) {
      const float4 v = load_shared(right + d * right_row);
      columns[0] = v.x, columns[1] = v.y, columns[2] = v.z, columns[3] = v.w;
    } else {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) columns[j] = right[d * right_row + j];
    }
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) sums[i][j] += pixels[i] * columns[j];
    }
  }
}

// One pixel's four channels from `channel` on, as far as there are so many.
__device__ void write_channels(const PairGrid& g, const LowRankPairOperands& o, float* y, std::int64_t pixel, int channel,
                               const float (&sums)[kChannelsOfThread], const float (&bias)[kChannelsOfThread]) {
  const std::int64_t at = pixel * g.k + channel;
  if (g.wide_y) {
    float4 v = make_float4(sums[0] + bias[0], sums[1] + bias[1], sums[2] + bias[2], sums[3] + bias[3]);
    if (o.z != nullptr) {
      const float4 z = load_vector(o.z + at);
      v = make_float4(v.x + z.x, v.y + z.y, v.z + z.z, v.w + z.w);
    }
    store_vector(y + at, each(v, [&](float value) { return clamped(value, g.outer); }));
    return;
  }
#pragma unroll
  for (int j = 0; j < kChannelsOfThread; ++j) {
    if (channel + j >= g.k) continue;
    float value = sums[j] + bias[j];
    if (o.z != nullptr) value += simt::global(o.z)[at + j];
    simt::global(y)[at + j] = clamped(value, g.outer);
  }
}

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, kThreadsOfProcessor / Tile::kThreads) low_rank_pair_kernel(PairGrid g, LowRankPairOperands o, float* y) {
  SIMT_SHARED(float4, tap_rows, [kDepth * Tile::kTapRow / kVectorFloats]);
  SIMT_SHARED(float4, weight_rows, [kDepth * Tile::kWeightRow / kVectorFloats]);
  SIMT_SHARED(std::int64_t, origins, [Tile::kPixels]);
  SIMT_SHARED(int, corners, [2][Tile::kPixels]);
  float* const taps = reinterpret_cast<float*>(tap_rows);
  float* const weights = reinterpret_cast<float*>(weight_rows);
  float* const between = simt::shared_memory<float>();  // [rank][pixels]
  const Windows<Tile::kPixels> windows{origins, corners[0], corners[1]};

  constexpr int kHalf = Tile::kPixels / 2;
  const std::int64_t first_pixel = static_cast<std::int64_t>(blockIdx.x) * Tile::kPixels;
  const int column_thread = static_cast<int>(threadIdx.x) % Tile::kColumnThreads;
  const int pixel = static_cast<int>(threadIdx.x) / Tile::kColumnThreads * (kPixelsOfThread / 2);  // the thread's first
  find_windows(g, first_pixel, windows);

  for (int first_rank = 0; first_rank < g.rank; first_rank += Tile::kRanks) {
    float sums[kPixelsOfThread][Tile::kRanksOfThread] = {};
    for (int first = 0; first < g.depth; first += kDepth) {
      __syncthreads();  // windows are known, and what was loaded before is used
      if (g.wide_x) {
        load_taps<kVectorFloats, Tile>(g, o.x, windows, first, taps);
      } else {
        load_taps<1, Tile>(g, o.x, windows, first, taps);
      }
      if (g.wide_u) {
        load_weights<kVectorFloats, Tile>(o.u, g.rank, g.depth, first_rank, first, Tile::kRanks, weights);
      } else {
        load_weights<1, Tile>(o.u, g.rank, g.depth, first_rank, first, Tile::kRanks, weights);
      }
      __syncthreads();
      multiply_add(min(kDepth, g.depth - first), taps + pixel, Tile::kTapRow, kHalf, weights + column_thread * Tile::kRanksOfThread, Tile::kWeightRow, sums);
    }
#pragma unroll
    for (int j = 0; j < Tile::kRanksOfThread; ++j) {
      const int m = first_rank + column_thread * Tile::kRanksOfThread + j;
      if (m >= g.rank) continue;
      const float bias = o.b != nullptr ? simt::global(o.b)[m] : 0.0f;
      const auto value = [&](int i) { return clamped(sums[i][j] + bias, g.inner); };
      store_shared(between + m * Tile::kPixels + pixel, make_float4(value(0), value(1), value(2), value(3)));
      store_shared(between + m * Tile::kPixels + pixel + kHalf, make_float4(value(4), value(5), value(6), value(7)));
    }
  }

  for (int first_channel = 0; first_channel < g.k; first_channel += Tile::kChannels) {
    float sums[kPixelsOfThread][kChannelsOfThread] = {};
    for (int first = 0; first < g.rank; first += kDepth) {
      __syncthreads();  // the rank's values are there, and the weights of before are used
      if (g.wide_v) {
        load_weights<kVectorFloats, Tile>(o.v, g.k, g.rank, first_channel, first, Tile::kChannels, weights);
      } else {
        load_weights<1, Tile>(o.v, g.k, g.rank, first_channel, first, Tile::kChannels, weights);
      }
      __syncthreads();
      multiply_add(min(kDepth, g.rank - first), between + first * Tile::kPixels + pixel, Tile::kPixels, kHalf, weights + column_thread * kChannelsOfThread,
                   Tile::kWeightRow, sums);
    }
    const int channel = first_channel + column_thread * kChannelsOfThread;
    if (channel >= g.k) continue;
    float bias[kChannelsOfThread];
#pragma unroll
    for (int j = 0; j < kChannelsOfThread; ++j) bias[j] = o.d != nullptr && channel + j < g.k ? simt::global(o.d)[channel + j] : 0.0f;
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
      const std::int64_t to = first_pixel + pixel + i % (kPixelsOfThread / 2) + i / (kPixelsOfThread / 2) * kHalf;
      if (to < g.pixels) write_channels(g, o, y, to, channel, sums[i], bias);
    }
  }
}

template <class Tile, int kMostRank>
void run(const PairGrid& g, const LowRankPairOperands& o, float* y, simt::NativeStream stream) {
  static_assert(Tile::shared_bytes(kMostRank) <= kSharedBytes);
  const simt::LaunchShape shape{simt::blocks_for(g.pixels, Tile::kPixels, 0x7fffffff), Tile::kThreads,
                                static_cast<std::size_t>(g.rank) * Tile::kPixels * sizeof(float)};
  simt::launch(LowRankPair::kName, shape, stream, &low_rank_pair_kernel<Tile>, g, o, y);
}

void low_rank_pair(const LowRankPairShape& s, const LowRankPairOperands& o, float* y, simt::NativeStream stream) {
  if (!can_fuse(s)) throw std::invalid_argument("low-rank pair: can't fuse " + s.thin.to_string());
  if (s.pixels() * s.k == 0) return;
  const auto number = [](std::int64_t value) { return static_cast<int>(value); };
  const PairGrid grid{.pixels = s.pixels(),
                      .by_q = Divisor(s.thin.q()),
                      .by_p = Divisor(s.thin.p()),
                      .h = number(s.thin.h),
                      .w = number(s.thin.w),
                      .c = number(s.thin.c),
                      .s = number(s.thin.s),
                      .stride = s.thin.stride,
                      .padding = s.thin.padding,
                      .depth = number(s.thin.r * s.thin.s * s.thin.c),
                      .rank = number(s.thin.k),
                      .k = number(s.k),
                      .inner = s.inner,
                      .outer = s.outer,
                      .wide_x = s.thin.c % kVectorFloats == 0 && is_vector_aligned(o.x),
                      .wide_u = s.thin.c % kVectorFloats == 0 && is_vector_aligned(o.u),
                      .wide_v = s.thin.k % kVectorFloats == 0 && is_vector_aligned(o.v),
                      .wide_y = s.k % kVectorFloats == 0 && all_vector_aligned(o.z, y)};
  if (grid.rank <= 8) {
    run<PairTile<128, 64, 2>, 8>(grid, o, y, stream);
  } else if (grid.rank <= 16) {
    run<PairTile<128, 64, 4>, 16>(grid, o, y, stream);
  } else if (grid.rank <= 64) {
    run<PairTile<128, 128, 4>, 64>(grid, o, y, stream);
  } else if (grid.rank <= 128) {
    run<PairTile<64, 128, 4>, 128>(grid, o, y, stream);
  } else {
    run<PairTile<32, 128, 2>, kMostFusedRank>(grid, o, y, stream);
  }
}

const bool registered = register_kernel<LowRankPair>(Backend::kCuda, &low_rank_pair);

}  // namespace
}  // namespace hinge::kernels::cuda
