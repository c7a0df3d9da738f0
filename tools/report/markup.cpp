#include "tools/report/markup.h"

#include <fmt/format.h>

namespace hinge::report {

std::string escaped(std::string_view text) {
  std::string result;
  for (char c : text) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      case '\'': result += "&#39;"; break;
      case '\n':
      case '\t': result += c; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          result += "\xEF\xBF\xBD";
        } else {
          result += c;
        }
    }
  }
  return result;
}

std::string thousands(long long value) {
  std::string digits = std::to_string(value < 0 ? -value : value);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(static_cast<std::size_t>(i), ",");
  return (value < 0 ? "-" : "") + digits;
}

std::string section(const std::string& heading, const std::string& content) {
  return content.empty() ? "" : fmt::format("<section><h2>{}</h2>{}</section>\n", escaped(heading), content);
}

std::string percent(double value, int digits) { return fmt::format("{:.{}f} %", value, digits); }
double share(double after, double before) { return before > 0.0 ? 100.0 * after / before : 100.0; }

}  // namespace hinge::report
