// Two sums per channel over all rows of [rows, C], in an order that depends on nothing but the shape.
//
//   sums[0, c] = sum over rows of first term       sums[1, c] = of second term
//
// A block takes a tile of channels (neighbouring threads, 16 bytes of channels each where C allows) and a part of the rows; threads
// add 16 rows in float, then go on in double; rows are added up in shared memory, parts by whoever reads `partial`
// [parts, 2, C]. Measured in terms of memory this is one pass over the operands.
#pragma once

#include "kernels/device/vector.cuh"
#include "kernels/simt/memory.h"

namespace hinge::kernels::device {

inline constexpr unsigned kSumThreads = 256;
inline constexpr int kFloatRows = 16;

// How blocks divide [rows, C]; `tile` threads share a row.
struct ChannelGrid {
  std::int64_t rows, c;
  int tile, tiles, parts;

  static ChannelGrid of(std::int64_t rows, std::int64_t c, int width) {
    const auto slots = static_cast<int>(c / width);
    const int tile = slots < 32 ? slots : 32, tiles = (slots + tile - 1) / tile;
    const std::int64_t pass = kSumThreads / tile * kFloatRows;
    // 264: two blocks for each multiprocessor of the largest GPU. One part at least, so that no rows give sums of 0.
    const unsigned parts = simt::blocks_for(rows > 0 ? rows : 1, pass, tiles > 264 ? 1 : 264 / tiles);
    return {rows, c, tile, tiles, static_cast<int>(parts)};
  }
};

// terms.template add<kWidth>(element, channel, first, second) adds the terms of kWidth channels to their sums.
template <int kWidth, class Terms>
__global__ void __launch_bounds__(kSumThreads) channel_sums_kernel(ChannelGrid grid, Terms terms, double* partial) {
  SIMT_SHARED(double, sums, [2][kWidth][kSumThreads]);
  const int slot = static_cast<int>(threadIdx.x) % grid.tile, row_lane = static_cast<int>(threadIdx.x) / grid.tile;
  const int row_lanes = static_cast<int>(kSumThreads) / grid.tile;
  const std::int64_t channel = (static_cast<std::int64_t>(blockIdx.x) * grid.tile + slot) * kWidth;
  const std::int64_t begin = grid.rows * blockIdx.y / grid.parts, end = grid.rows * (blockIdx.y + 1) / grid.parts;
  const bool mine = channel < grid.c && row_lane < row_lanes;
  double total0[kWidth] = {}, total1[kWidth] = {};
  for (std::int64_t row = begin + row_lane; mine && row < end;) {
    float s0[kWidth] = {}, s1[kWidth] = {};
    for (int k = 0; k < kFloatRows && row < end; ++k, row += row_lanes) {
      terms.template add<kWidth>(row * grid.c + channel, channel, s0, s1);
    }
#pragma unroll
    for (int j = 0; j < kWidth; ++j) total0[j] += static_cast<double>(s0[j]), total1[j] += static_cast<double>(s1[j]);
  }
#pragma unroll
  for (int j = 0; j < kWidth; ++j) sums[0][j][threadIdx.x] = total0[j], sums[1][j][threadIdx.x] = total1[j];
  __syncthreads();
  if (row_lane != 0 || channel >= grid.c) return;
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    for (int r = 1; r < row_lanes; ++r) {
      total0[j] += sums[0][j][r * grid.tile + slot];
      total1[j] += sums[1][j][r * grid.tile + slot];
    }
    partial[(2 * blockIdx.y + 0) * grid.c + channel + j] = total0[j];
    partial[(2 * blockIdx.y + 1) * grid.c + channel + j] = total1[j];
  }
}

// The sum of one channel over the parts.
inline __device__ double sum_parts(const double* partial, const ChannelGrid& grid, int which, std::int64_t channel) {
  double sum = 0.0;
  for (int part = 0; part < grid.parts; ++part) sum += partial[(2 * part + which) * grid.c + channel];
  return sum;
}

// Launches the sums with the widest access that C and the pointers to T allow; `done(grid, partial)` queues what reads them.
template <class T, class Terms, class Done>
void channel_sums(const char* name, std::int64_t rows, std::int64_t c, bool aligned, const Terms& terms,
                  simt::NativeStream stream, Done done) {
  const bool wide = aligned && c % kVector<T> == 0;
  const ChannelGrid grid = ChannelGrid::of(rows, c, wide ? kVector<T> : 1);
  simt::Buffer<double> partial(2 * c * grid.parts, stream);
  const simt::LaunchShape shape{{static_cast<unsigned>(grid.tiles), static_cast<unsigned>(grid.parts)}, kSumThreads};
  simt::launch(name, shape, stream,
               wide ? &channel_sums_kernel<kVector<T>, Terms> : &channel_sums_kernel<1, Terms>, grid, terms,
               partial.data());
  done(grid, static_cast<const double*>(partial.data()));
}

}  // namespace hinge::kernels::device
