#include "engine/infer/layer_times.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"

namespace hinge {
namespace {

namespace lanes = kernels::lanes;

constexpr std::int64_t kLevels = 8, kFewLevels = 4;
constexpr double kLarge = 2e7;  // multiply-adds of a picture: smooth in the number of channels, and seconds to measure

double macs_of(const lanes::ConvSpec& s) {
  const double pixels = static_cast<double>(s.p() * s.q()), filters = static_cast<double>(s.k);
  return pixels * filters * static_cast<double>(s.r * s.s * s.c / s.groups + s.tail);
}

// The two levels around a count, and how far it lies between them.
struct Between {
  std::int64_t below = 0, above = 0;
  double share = 0.0;
};

Between between(const std::vector<std::int64_t>& levels, std::int64_t count) {
  const auto above = std::ranges::lower_bound(levels, count);
  if (above == levels.begin() || *above == count) return {*above, *above, 0.0};
  const std::int64_t below = *(above - 1);
  return {below, *above, static_cast<double>(count - below) / static_cast<double>(*above - below)};
}

}  // namespace

std::vector<std::int64_t> LayerTimes::levels(const Spec& layer, std::int64_t full, bool filters) const {
  const std::int64_t unit = stopwatch_->unit(filters);
  const std::int64_t units = (full + unit - 1) / unit, count = std::min(units, macs_of(layer) > kLarge ? kFewLevels : kLevels);
  std::vector<std::int64_t> result;
  for (std::int64_t i = 1; i <= count; ++i) result.push_back(std::min(full, (units * i + count - 1) / count * unit));
  if (result.front() > unit) result.insert(result.begin(), unit);
  return result;
}

double LayerTimes::at(const Spec& s) {
  const std::string key = s.to_string();
  if (const auto known = times_.find(key); known != times_.end()) return known->second;
  const double seconds = stopwatch_->seconds(s);
  ++measured_;
  return times_[key] = seconds;
}

double LayerTimes::seconds(const Spec& full, const Spec& kept) {
  if (full.groups > 1) return at(full) * static_cast<double>(kept.k) / static_cast<double>(full.k);
  const auto around = [&](std::int64_t extent, std::int64_t count, bool filters) {
    const std::int64_t unit = stopwatch_->unit(filters), whole = (count + unit - 1) / unit * unit;
    return between(levels(full, extent, filters), std::min(whole, extent));
  };
  std::array<Between, 3> sides = {around(full.c, kept.c, false), around(full.k, kept.k, true), Between{}};
  if (full.tail > 0) sides[2] = around(full.tail, kept.tail, true);
  double sum = 0.0;
  for (int corner = 0; corner < 8; ++corner) {  // of the box around the three counts
    double weight = 1.0;
    std::array<std::int64_t, 3> counts{};
    for (std::size_t side = 0; side < 3; ++side) {
      const bool above = (corner >> side & 1) != 0;
      weight *= above ? sides[side].share : 1.0 - sides[side].share;
      counts[side] = above ? sides[side].above : sides[side].below;
    }
    if (weight == 0.0) continue;
    Spec point = full;
    point.c = counts[0], point.k = counts[1], point.tail = counts[2];
    sum += weight * at(point);
  }
  return sum;
}

void LayerTimes::prepare(const Spec& full, bool c_varies, bool k_varies, bool tail_varies) {
  const auto values = [&](std::int64_t extent, bool varies, bool filters) {
    return varies && full.groups == 1 && extent > 0 ? levels(full, extent, filters) : std::vector<std::int64_t>{extent};
  };
  for (std::int64_t c : values(full.c, c_varies, false)) {
    for (std::int64_t k : values(full.k, k_varies, true)) {
      for (std::int64_t tail : values(full.tail, tail_varies, true)) {
        Spec point = full;
        point.c = c, point.k = k, point.tail = tail;
        at(point);
      }
    }
  }
}

nlohmann::json LayerTimes::to_json() const { return {{"machine", stopwatch_->machine()}, {"times", times_}}; }

void LayerTimes::add_json(const nlohmann::json& json) {
  require(json.is_object() && json.contains("machine") && json.contains("times") && json.at("times").is_object(),
          "layer times: expected an object with 'machine' and 'times'");
  if (json.at("machine") != stopwatch_->machine()) return;
  for (const auto& [key, value] : json.at("times").items()) {
    require(value.is_number() && value.get<double>() > 0.0, "layer times: '{}' is {}, expected seconds above 0", key, value.dump());
    times_.emplace(key, value.get<double>());
  }
}

}  // namespace hinge
