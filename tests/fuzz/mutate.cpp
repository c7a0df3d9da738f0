#include "tests/fuzz/mutate.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace hinge::fuzz {
namespace {

constexpr std::array<std::string_view, 20> kWords = {"-1", "1e999", "9223372036854775807", "18446744073709551616", "null", "[]", "{}", "\"", "\\u0000", "[[[[[[[[", "../../x",
                                                     "/", "nan", "0", "16777217", "--", "=", "\n", "true", "-0.0"};
constexpr std::array<std::uint64_t, 10> kNumbers = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff};

class Changer {
 public:
  Changer(std::string& text, const std::string& other, std::mt19937_64& random) : text_(text), other_(other), random_(random) {}

  void change() {
    if (text_.empty()) text_ = "0";
    const std::size_t at = below(text_.size()), length = 1 + below(std::min<std::size_t>(text_.size() - at, 32));
    switch (below(8)) {
      case 0: text_[at] = static_cast<char>(text_[at] ^ 1 << below(8)); break;
      case 1: text_[at] = static_cast<char>(below(256)); break;
      case 2: number(at); break;
      case 3: text_.erase(at, length); break;
      case 4: text_.insert(at, text_.substr(at, length)); break;
      case 5: text_.replace(at, length, kWords[below(kWords.size())]); break;
      case 6: text_.insert(at, other_.substr(other_.empty() ? 0 : below(other_.size()), length)); break;
      default: text_.resize(at); break;
    }
  }

 private:
  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(random_() % limit); }
  // In either byte order.
  void number(std::size_t at) {
    const std::size_t bytes = std::min<std::size_t>(std::size_t{1} << below(4), text_.size() - at);
    const std::uint64_t value = kNumbers[below(kNumbers.size())];
    char raw[8];
    std::memcpy(raw, &value, 8);
    if (below(2) == 0) std::reverse(raw, raw + bytes);
    text_.replace(at, bytes, raw, bytes);
  }

  std::string& text_;
  const std::string& other_;
  std::mt19937_64& random_;
};

}  // namespace

std::string mutated(const std::string& seed, const std::string& other, std::mt19937_64& random) {
  std::string text = seed;
  Changer changer(text, other, random);
  for (std::uint64_t left = 1 + random() % 4; left > 0; --left) changer.change();
  return text;
}

}  // namespace hinge::fuzz
