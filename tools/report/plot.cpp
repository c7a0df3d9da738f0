#include "tools/report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tools/report/markup.h"

namespace hinge::report {
namespace {

constexpr double kWidth = 360.0, kHeight = 210.0, kLeft = 44.0, kRight = 10.0, kTop = 16.0, kBottom = 34.0;

// From values to units of the drawing.
struct Scale {
  double low = 0.0, high = 1.0, from = 0.0, to = 1.0;
  bool logarithmic = false;
  bool shows(double value) const { return std::isfinite(value) && (!logarithmic || value > 0.0); }
  double operator()(double value) const {
    const auto place = [&](double v) { return logarithmic ? std::log10(v) : v; };
    return from + (to - from) * (place(value) - place(low)) / (place(high) - place(low));
  }
};

// Ranges narrower than this share of their values are points: nobody could tell their ticks apart, and near the last
// digit of a double a step no longer moves a value.
constexpr double kResolution = 1e-9;

// The range of the values that can be shown, widened where it is a point; nothing if there are none.
std::optional<std::pair<double, double>> range_of(const Plot& plot, bool of_y) {
  double low = INFINITY, high = -INFINITY;
  for (const Series& series : plot.series) {
    for (const auto& [x, y] : series.points) {
      if (!std::isfinite(x) || !std::isfinite(y) || (plot.log_y && y <= 0.0)) continue;
      low = std::min(low, of_y ? y : x), high = std::max(high, of_y ? y : x);
    }
  }
  if (!(low <= high)) return std::nullopt;
  if (high - low > kResolution * std::max(std::fabs(low), std::fabs(high))) return std::pair(low, high);
  if (of_y && plot.log_y) return std::pair(low / 2.0, high * 2.0);
  const double room = std::max(std::fabs(low) * 0.1, 0.5);
  return std::pair(low - room, high + room);
}

std::string tick_text(double value) { return fmt::format("{:g}", std::fabs(value) < 1e-12 ? 0.0 : value); }

// At 1, 2 and 5 times powers of ten, or at the powers alone; as on an even scale where that leaves fewer than two.
std::vector<double> log_ticks(double low, double high) {
  std::vector<double> all;
  for (double decade = std::pow(10.0, std::floor(std::log10(low))); decade <= high; decade *= 10.0) {
    for (double step : {1.0, 2.0, 5.0}) {
      if (decade * step >= low * 0.999 && decade * step <= high * 1.001) all.push_back(decade * step);
    }
  }
  if (all.size() < 2) return ticks(low, high, 4);
  if (all.size() <= 6) return all;
  std::erase_if(all, [](double tick) { return std::fabs(std::log10(tick) - std::round(std::log10(tick))) > 1e-6; });
  return all;
}

std::string legend_of(const std::vector<Series>& series) {
  if (series.size() < 2 && (series.empty() || series[0].name.empty())) return "";
  std::string text = "<ul class=\"legend\">";
  for (const Series& s : series) {
    text += fmt::format("<li><span class=\"swatch c{}{}\"></span>{}</li>", s.colour % kColours, s.dashed ? " dashed" : "", escaped(s.name));
  }
  return text + "</ul>";
}

// Points that are neighbours are joined; a gap begins a new piece.
std::string line_of(const Series& series, const Scale& x, const Scale& y) {
  std::string path;
  bool joined = false;
  for (const auto& [px, py] : series.points) {
    if (!x.shows(px) || !y.shows(py)) {
      joined = false;
      continue;
    }
    path += fmt::format("{}{:.1f} {:.1f}", joined ? "L" : "M", x(px), y(py));
    joined = true;
  }
  std::string svg = fmt::format("<path class=\"line c{}{}\" d=\"{}\"/>", series.colour % kColours, series.dashed ? " dashed" : "", path);
  for (std::size_t i = 0; series.marks && i < series.points.size(); ++i) {
    const auto& [px, py] = series.points[i];
    if (!x.shows(px) || !y.shows(py)) continue;
    const std::string label = i < series.labels.size() ? fmt::format("<title>{}</title>", escaped(series.labels[i])) : "";
    svg += fmt::format("<circle class=\"mark c{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\">{}</circle>", series.colour % kColours, x(px), y(py), label);
  }
  return svg;
}

std::string axes_of(const Plot& plot, const Scale& x, const Scale& y) {
  std::string svg;
  const std::vector<double> y_ticks = plot.log_y ? log_ticks(y.low, y.high) : ticks(y.low, y.high, 7);
  for (double tick : y_ticks) {
    svg += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}H{:.1f}\"/><text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", kLeft, y(tick), kWidth - kRight, kLeft - 5, y(tick) + 4, tick_text(tick));
  }
  for (double tick : ticks(x.low, x.high, 6)) {
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>", x(tick), kHeight - kBottom + 15, tick_text(tick));
  }
  svg += fmt::format("<path class=\"axis\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>", kLeft, kHeight - kBottom, kWidth - kRight);
  svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>", (kLeft + kWidth - kRight) / 2, kHeight - 3, escaped(plot.x_label));
  for (const auto& [place, name] : plot.borders) {
    if (!(place >= x.low && place <= x.high)) continue;
    svg += fmt::format("<path class=\"border\" d=\"M{0:.1f} {1:.1f}V{2:.1f}\"/><text x=\"{3:.1f}\" y=\"{4:.1f}\">{5}</text>", x(place), kTop, kHeight - kBottom, x(place) + 3, kTop - 4, escaped(name));
  }
  return svg;
}

}  // namespace

std::vector<double> ticks(double low, double high, int count) {
  if (!(high - low > kResolution * std::max(std::fabs(low), std::fabs(high))) || count < 1) return {};
  const double rough = (high - low) / count, power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10.0 * power;
  for (double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= rough * 0.999) step = factor * power;
  }
  std::vector<double> result;
  const double slack = 1e-9 * (high - low);
  for (double i = std::ceil((low - slack) / step); i * step <= high + slack; i += 1.0) result.push_back(i * step);
  return result;
}

std::string figure_of(const Plot& plot) {
  const auto range_x = range_of(plot, false), range_y = range_of(plot, true);
  if (!range_x || !range_y) return "";
  const Scale x{range_x->first, range_x->second, kLeft + 6, kWidth - kRight - 6};
  const double room = plot.log_y ? 0.0 : 0.05 * (range_y->second - range_y->first);
  const Scale y{.low = plot.lowest_y.value_or(range_y->first - room), .high = plot.highest_y.value_or(range_y->second + room), .from = kHeight - kBottom, .to = kTop, .logarithmic = plot.log_y};
  std::string svg = axes_of(plot, x, y);
  for (const Series& series : plot.series) svg += line_of(series, x, y);
  return fmt::format("<figure><figcaption>{0}</figcaption>{1}<svg class=\"plot\" viewBox=\"0 0 {2} {3}\" role=\"img\" aria-label=\"{0}\">{4}</svg></figure>", escaped(plot.title), legend_of(plot.series), kWidth, kHeight, svg);
}

std::string figure_of(const HeatMap& map) {
  constexpr int kShades = 6;
  if (map.cells.empty() || map.cells[0].empty()) return "";
  const std::size_t bins = map.cells[0].size();
  const double w = (kWidth - kLeft - kRight) / static_cast<double>(map.cells.size()), h = 120.0 / static_cast<double>(bins);
  std::map<int, std::string> shades;  // one path a shade: small, and drawn at once
  for (std::size_t t = 0; t < map.cells.size(); ++t) {
    const double largest = std::max(1e-30, *std::ranges::max_element(map.cells[t]));
    for (std::size_t b = 0; b < map.cells[t].size(); ++b) {
      const int shade = static_cast<int>(std::ceil(kShades * std::sqrt(map.cells[t][b] / largest)));  // few still show beside many
      if (shade <= 0) continue;
      shades[shade] += fmt::format("M{:.1f} {:.1f}h{:.1f}v{:.1f}h-{:.1f}z", kLeft + static_cast<double>(t) * w, 4.0 + static_cast<double>(bins - 1 - b) * h, w - 1.0, h - 0.5, w - 1.0);
    }
  }
  std::string svg;
  for (const auto& [shade, path] : shades) svg += fmt::format("<path class=\"heat\" opacity=\"{:.2f}\" d=\"{}\"/>", static_cast<double>(shade) / kShades, path);
  svg += fmt::format("<text x=\"{0}\" y=\"{1}\" text-anchor=\"end\">{2}</text><text x=\"{0}\" y=\"{3}\" text-anchor=\"end\">{4}</text>", kLeft - 5, 124.0, escaped(map.y_low), 14.0, escaped(map.y_high));
  const std::size_t every = (map.columns.size() + 11) / 12;
  for (std::size_t t = 0; t < map.columns.size(); t += every) {
    svg += fmt::format("<text x=\"{:.1f}\" y=\"139\" text-anchor=\"middle\">{}</text>", kLeft + (static_cast<double>(t) + 0.5) * w, escaped(map.columns[t]));
  }
  return fmt::format("<figure><figcaption>{0}</figcaption><svg class=\"plot\" viewBox=\"0 0 {1} 144\" role=\"img\" aria-label=\"{0}\">{2}</svg></figure>", escaped(map.title), kWidth, svg);
}

}  // namespace hinge::report
