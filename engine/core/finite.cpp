#include "engine/core/finite.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace hinge {
namespace {

constexpr std::size_t kLanes = 64;  // tested at once: long enough to fill registers of 512 bits four times

// All exponent bits set: NaN or infinity. Bits, not arithmetic, so that no compiler flag can take the test away.
constexpr std::uint32_t kExponent = 0x7f800000u;
std::uint32_t is_not_finite(float value) { return (std::bit_cast<std::uint32_t>(value) & kExponent) == kExponent ? 1u : 0u; }

template <class T>
std::optional<NotFinite> first_in(std::span<const T> values, const Shape& shape) {
  const auto bad = [](T value) { return !std::isfinite(value); };
  const auto first = std::ranges::find_if(values, bad);
  if (first == values.end()) return std::nullopt;
  NotFinite found{.what = {}, .name = {}, .index = {}, .value = static_cast<double>(*first), .count = std::ranges::count_if(first, values.end(), bad), .of = shape.size()};
  std::int64_t offset = first - values.begin();
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    found.index.insert(found.index.begin(), offset % shape[axis]);
    offset /= shape[axis];
  }
  return found;
}

}  // namespace

std::string NotFinite::to_string() const {
  std::string text = name.empty() ? what : fmt::format("{} of {}", what, name);
  if (!index.empty()) text += fmt::format("[{}]", fmt::join(index, ", "));
  text += std::isnan(value) ? " is nan" : value > 0.0 ? " is inf"
                                                      : " is -inf";
  if (of > 1) text += fmt::format(" ({} of {} numbers {} not finite)", count, of, count == 1 ? "is" : "are");
  return text;
}

bool all_finite(std::span<const float> values) {
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    std::uint32_t bad = 0;
    for (std::size_t j = 0; j < kLanes; ++j) bad |= is_not_finite(values[i + j]);
    if (bad != 0) return false;
  }
  return std::ranges::none_of(values.subspan(i), is_not_finite);
}

std::optional<NotFinite> first_not_finite(const Tensor& tensor, const std::string& what, const std::string& name) {
  std::optional<NotFinite> found;
  const Tensor here = tensor.to(Device{});
  if (tensor.dtype() == DType::kFloat32) {
    if (!all_finite(here.values<float>())) found = first_in(here.values<float>(), here.shape());
  } else if (tensor.dtype() == DType::kFloat64) {
    found = first_in(here.values<double>(), here.shape());
  }
  if (found) found->what = what, found->name = name;
  return found;
}

void require_finite(const Tensor& tensor, const std::string& what, const std::string& name) {
  if (auto found = first_not_finite(tensor, what, name)) throw NotFiniteError(std::move(*found));
}

void require_finite(double value, const std::string& what, const std::string& name) {
  if (!std::isfinite(value)) throw NotFiniteError({.what = what, .name = name, .index = {}, .value = value});
}

}  // namespace hinge
