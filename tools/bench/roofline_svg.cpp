#include <cmath>
#include <map>

#include "tools/bench/report.h"

namespace hinge::bench {
namespace {

constexpr double kWidth = 1200, kHeight = 640, kLeft = 80, kTop = 60, kPlotWidth = 620, kPlotHeight = 500;
const char* const kColours[] = {"#1f6fb4", "#d2601a", "#2a8c4a", "#b4327d", "#6b4fb0", "#8a6d1c", "#00808a", "#8c2f2f"};

// A logarithmic axis over whole decades.
struct Axis {
  double low, high;  // exponents of 10
  double begin, end;
  Axis(double smallest, double largest, double from, double to)
      : low(std::floor(std::log10(smallest))), high(std::max(low + 1.0, std::ceil(std::log10(largest)))), begin(from), end(to) {}
  double at(double value) const { return begin + (std::log10(value) - low) / (high - low) * (end - begin); }
};

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '&' ? "&amp;" : c == '<' ? "&lt;"
                                                       : c == '>'   ? "&gt;"
                                                                    : std::string(1, c);
  return result;
}

std::string text_at(double x, double y, const std::string& text, const char* anchor = "start", int size = 13) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" font-size=\"{}\">{}</text>\n", x, y, anchor, size, escaped(text));
}
std::string line_of(double x1, double y1, double x2, double y2, const char* colour, double width) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" stroke-width=\"{}\"/>\n", x1, y1, x2, y2, colour, width);
}

}  // namespace

std::string roofline_svg(const Machine& machine, const std::vector<Timing>& timings) {
  const double peak = machine.flops_per_second * 1e-9, bandwidth = machine.copy_bytes_per_second * 1e-9, ridge = peak / bandwidth;
  double low_x = ridge / 4, high_x = ridge * 4, low_y = peak / 10, high_y = peak;
  for (const Timing& t : timings) {
    const double intensity = t.flops / t.bytes, rate = t.flops_per_second() * 1e-9;
    low_x = std::min(low_x, intensity), high_x = std::max(high_x, intensity);
    low_y = std::min(low_y, rate), high_y = std::max(high_y, rate);
  }
  const Axis x(low_x, high_x * 1.01, kLeft, kLeft + kPlotWidth), y(low_y, high_y * 1.01, kTop + kPlotHeight, kTop);

  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" fill=\"#222\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      kWidth, kHeight, kWidth, kHeight);
  svg += text_at(kLeft, 30, "Roofline of " + machine.name, "start", 17);
  for (double d = x.low; d <= x.high; ++d) {
    const double at = x.at(std::pow(10.0, d));
    svg += line_of(at, kTop, at, kTop + kPlotHeight, "#e4e4e4", 1);
    svg += text_at(at, kTop + kPlotHeight + 20, fmt::format("{:g}", std::pow(10.0, d)), "middle");
  }
  for (double d = y.low; d <= y.high; ++d) {
    const double at = y.at(std::pow(10.0, d));
    svg += line_of(kLeft, at, kLeft + kPlotWidth, at, "#e4e4e4", 1);
    svg += text_at(kLeft - 8, at + 4, fmt::format("{:g}", std::pow(10.0, d)), "end");
  }
  svg += text_at(kLeft + kPlotWidth / 2, kTop + kPlotHeight + 46, "operations per byte", "middle", 14);
  svg += fmt::format("<text transform=\"translate(22 {:.1f}) rotate(-90)\" text-anchor=\"middle\" font-size=\"14\">GFLOP/s</text>\n", kTop + kPlotHeight / 2);

  // The roof: bandwidth times intensity up to the ridge, the rate of arithmetic behind it. Where the slope would leave
  // the picture below, it begins at the lower edge.
  const double x_first = std::max(std::pow(10.0, x.low), std::pow(10.0, y.low) / bandwidth);
  svg += fmt::format("<polyline fill=\"none\" stroke=\"#222\" stroke-width=\"2\" points=\"{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}\"/>\n", x.at(x_first), y.at(x_first * bandwidth),
                     x.at(ridge), y.at(peak), kLeft + kPlotWidth, y.at(peak));
  svg += text_at(kLeft + kPlotWidth - 6, y.at(peak) - 8, fmt::format("{:.0f} GFLOP/s", peak), "end");
  const double label = std::sqrt(x_first * ridge), angle = std::atan2(y.at(peak) - y.at(x_first * bandwidth), x.at(ridge) - x.at(x_first)) * 57.29578;
  svg += fmt::format("<text transform=\"translate({:.1f} {:.1f}) rotate({:.1f})\" text-anchor=\"middle\" font-size=\"13\">{:.0f} GB/s</text>\n", x.at(label) - 14,
                     y.at(label * bandwidth) - 12, angle, bandwidth);

  std::map<std::string, const char*> colour;
  int number = 0;
  const double list_x = kLeft + kPlotWidth + 30;
  for (const Timing& t : timings) {
    const auto [entry, is_new] = colour.try_emplace(t.family, kColours[colour.size() % std::size(kColours)]);
    ++number;
    const double px = x.at(t.flops / t.bytes), py = y.at(t.flops_per_second() * 1e-9);
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"8\" fill=\"{}\" fill-opacity=\"0.85\"><title>{}</title></circle>\n", px, py, entry->second, escaped(t.name));
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\" font-size=\"9\" fill=\"white\">{}</text>\n", px, py + 3, number);
    const double row = kTop + 14.5 * (number - 1);
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"{}\"/>\n", list_x, row, entry->second);
    svg += text_at(list_x + 10, row + 4, fmt::format("{}  {}: {:.0f} %", number, t.name, 100.0 * t.share_of_roof(machine)), "start", 11);
  }
  return svg + "</svg>\n";
}

}  // namespace hinge::bench
