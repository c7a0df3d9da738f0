// HTML and SVG text: everything that comes from outside goes through escaped().
#pragma once

#include <string>
#include <string_view>

namespace hinge::report {

// For element content and quoted attributes; control characters, which XML forbids, become U+FFFD.
std::string escaped(std::string_view text);

// 1234567 -> "1,234,567"
std::string thousands(long long value);

}  // namespace hinge::report
