// How many blocks of how many threads run, and what each block owns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/simt/host_device.h"

namespace simt {

inline constexpr unsigned kWarpSize = 32;
inline constexpr unsigned kFullWarp = 0xffffffffu;

// One to three counts; converts from one number, so that a 1-D launch reads as such.
struct Extent {
  unsigned x = 1, y = 1, z = 1;

  SIMT_HOST_DEVICE constexpr Extent(unsigned x_, unsigned y_ = 1, unsigned z_ = 1)  // NOLINT(google-explicit-constructor)
      : x(x_), y(y_), z(z_) {}
  SIMT_HOST_DEVICE constexpr std::uint64_t count() const {
    return static_cast<std::uint64_t>(x) * y * z;
  }
};

struct LaunchShape {
  Extent blocks;
  Extent threads;
  std::size_t shared_bytes = 0;  // dynamic shared memory of each block
  // All blocks are resident at the same time, so that they may wait for each other (simt::grid_barrier). `blocks` must
  // not exceed simt::resident_blocks(kernel, ...).
  bool cooperative = false;
};

// Blocks of `threads` that cover `items`, but at most `most`: kernels then stride over the grid.
inline unsigned blocks_for(std::int64_t items, std::int64_t items_per_block, std::int64_t most) {
  const std::int64_t blocks = (items + items_per_block - 1) / items_per_block;
  return static_cast<unsigned>(blocks < most ? blocks : most);
}

}  // namespace simt
