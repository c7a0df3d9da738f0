// The extents of a dense row-major array, outermost first. Up to five dimensions.
//
// One letter per dimension everywhere: N batch, C in-channels, K out-channels, H W height and width, R S filter
// height and width. Activations are [N, H, W, C], filters [K, R, S, C].
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "engine/core/error.h"

namespace hinge {

class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents)
      : Shape(std::span<const std::int64_t>(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const std::int64_t> extents) : rank_(static_cast<int>(extents.size())) {
    require(extents.size() <= kMaxRank, "shape: {} dimensions, at most {} are supported",
            extents.size(), kMaxRank);
    std::copy(extents.begin(), extents.end(), extents_.begin());
    for (std::int64_t extent : extents) require(extent >= 0, "shape: negative extent {}", extent);
  }

  int rank() const { return rank_; }
  std::int64_t operator[](int axis) const {
    require(axis >= 0 && axis < rank_, "shape: axis {} of {}", axis, to_string());
    return extents_[static_cast<std::size_t>(axis)];
  }
  std::span<const std::int64_t> extents() const {
    return {extents_.data(), static_cast<std::size_t>(rank_)};
  }
  // Number of elements; 1 for rank 0.
  std::int64_t size() const {
    std::int64_t total = 1;
    for (std::int64_t extent : extents()) total *= extent;
    return total;
  }
  bool operator==(const Shape& other) const {
    return std::ranges::equal(extents(), other.extents());
  }
  // "[128, 32, 32, 16]"
  std::string to_string() const { return fmt::format("[{}]", fmt::join(extents(), ", ")); }

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

}  // namespace hinge

template <>
struct fmt::formatter<hinge::Shape> : fmt::formatter<std::string> {
  auto format(const hinge::Shape& shape, fmt::format_context& context) const {
    return fmt::formatter<std::string>::format(shape.to_string(), context);
  }
};
