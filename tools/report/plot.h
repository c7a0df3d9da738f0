// Plots as inline SVG: drawn from plain data, coloured by the page's style sheet (classes c0 to c7).
//
// A plot is 360 units wide: at a phone's width, and in a column of a wide page, a unit is about a pixel, so text stays
// readable at both.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hinge::report {

inline constexpr int kColours = 8;

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // in the order in which they are joined; not finite: a gap
  int colour = 0;
  bool marks = false, dashed = false;
  std::vector<std::string> labels = {};  // shown when the pointer rests on a point
};

struct Plot {
  std::string title;  // says the unit of y
  std::string x_label;
  std::vector<Series> series;
  bool log_y = false;                                        // values at or below 0 are gaps
  std::optional<double> lowest_y = {}, highest_y = {};       // else from the data
  std::vector<std::pair<double, std::string>> borders = {};  // vertical lines with a name to their right
};
// A <figure> with title, legend and the plot; "" if there is not one finite point.
std::string figure_of(const Plot& plot);

// Counts over time, as a field of squares that are darker where more is: columns are times, rows bins from below.
struct HeatMap {
  std::string title;
  std::string y_low, y_high;               // text at the lowest and highest bin
  std::vector<std::string> columns;        // [time]
  std::vector<std::vector<double>> cells;  // [time, bin], 0 to the column's largest
};
std::string figure_of(const HeatMap& map);

// Ticks between low and high at 1, 2 or 5 times a power of ten, about `count` of them; none where both are nearly the same.
std::vector<double> ticks(double low, double high, int count);

}  // namespace hinge::report
