// HTML and SVG text: everything that comes from outside goes through escaped().
#pragma once

#include <string>
#include <string_view>

namespace hinge::report {

// For element content and quoted attributes; control characters, which XML forbids, become U+FFFD.
std::string escaped(std::string_view text);

// 1234567 -> "1,234,567"
std::string thousands(long long value);

// A part of the page with its heading; "" where there is no content.
std::string section(const std::string& heading, const std::string& content);
std::string percent(double value, int digits = 2);  // "9.22 %"
double share(double after, double before);          // in per cent; of nothing, 100

}  // namespace hinge::report
