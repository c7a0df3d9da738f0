// How filters are cut into blocks, and pixels into tiles.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "kernels/cpu/lanes/vector.h"

namespace hinge::kernels::lanes {

// Blocks of at most `most` units of filters, of nearly equal size; a unit is what one register holds.
struct Blocks {
  std::int64_t most = 1, unit = 1;

  std::int64_t units(std::int64_t k) const { return (k + unit - 1) / unit; }
  std::int64_t count(std::int64_t k) const { return (units(k) + most - 1) / most; }
  // First filter of a block. Behind the last block: K, filled up to whole units.
  std::int64_t begin(std::int64_t k, std::int64_t block) const { return units(k) * block / count(k) * unit; }

  // w : [K, window] -> for each block [window][filters of the block], zeros where there is no filter.
  void pack(std::int64_t k, std::int64_t window, const float* w, float* packed) const {
    for (std::int64_t block = 0; block < count(k); ++block) {
      for (std::int64_t j = 0; j < window; ++j) {
        for (std::int64_t filter = begin(k, block); filter < begin(k, block + 1); ++filter) *packed++ = filter < k ? w[filter * window + j] : 0.0f;
      }
    }
  }
};

// body(first, count) for pieces of at most `most` that cover [0, size), of nearly equal size.
template <class Body>
void for_pieces(std::int64_t size, std::int64_t most, const Body& body) {
  const std::int64_t pieces = (size + most - 1) / most;
  for (std::int64_t i = 0; i < pieces; ++i) {
    const std::int64_t first = size * i / pieces;
    body(first, size * (i + 1) / pieces - first);
  }
}

// Kernel<U, P>::run for U units of filters and P pixels, as many as the registers hold.
inline constexpr int kMostPixels = 12;
constexpr int pixels_for(int units) { return std::clamp(kAccumulators / units, 1, kMostPixels); }

template <class Tile, std::size_t kMostUnits>
using TileTable = std::array<std::array<void (*)(const Tile&), kMostPixels + 1>, kMostUnits + 1>;

template <class Tile, template <int, int> class Kernel, int U, std::size_t kMostUnits, std::size_t... P>
constexpr void fill_row(TileTable<Tile, kMostUnits>& table, std::index_sequence<P...>) {
  ((table[U][P + 1] = &Kernel<U, static_cast<int>(P) + 1>::run), ...);
}
template <class Tile, template <int, int> class Kernel, std::size_t... U>
constexpr auto make_table(std::index_sequence<U...>) {
  TileTable<Tile, sizeof...(U)> table{};
  (fill_row<Tile, Kernel, static_cast<int>(U) + 1, sizeof...(U)>(table, std::make_index_sequence<pixels_for(static_cast<int>(U) + 1)>()), ...);
  return table;
}

}  // namespace hinge::kernels::lanes
