#include "tests/tools/pages.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <regex>
#include <sstream>

#include "tests/tools/process.h"

namespace hinge::testing {
namespace {

const std::string kRoot = HINGE_SOURCE_DIR "/";

std::vector<std::string> lines_of(const std::string& page) {
  std::istringstream in(slurp(kRoot + page));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Walks a page; `block` gets every line inside a block with its language, `prose` every other.
template <class InBlock, class InProse>
void walk(const std::vector<std::string>& lines, InBlock block, InProse prose) {
  std::string fence;  // of the open block
  bool blank_above = true, indented = false;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    const bool is_fence = line.starts_with("```");
    if (!fence.empty()) {
      if (is_fence) {
        fence.clear();
      } else {
        block(i, fence.substr(3), line);
      }
    } else if (is_fence) {
      fence = line;
    } else if (line.starts_with("    ") && (blank_above || indented)) {
      block(i, std::string("sh"), line.substr(4));
    } else {
      prose(i, line);
    }
    indented = fence.empty() && line.starts_with("    ") && (blank_above || indented);
    blank_above = line.empty();
  }
}

}  // namespace

std::vector<std::string> pages() {
  std::vector<std::string> found;
  const std::filesystem::path root(kRoot);
  for (auto it = std::filesystem::recursive_directory_iterator(root); it != std::filesystem::recursive_directory_iterator(); ++it) {
    const std::string name = it->path().filename().string();
    if (it->is_directory() && (name.starts_with(".") || name == "build" || name == "runs" || name == "dist")) it.disable_recursion_pending();
    if (it->is_regular_file() && name.ends_with(".md")) found.push_back(it->path().lexically_relative(root).string());
  }
  std::ranges::sort(found);
  return found;
}

std::vector<Block> blocks_of(const std::string& page) {
  static const std::regex kMark("<!-- (not run: .+|file: .+) -->");
  std::vector<Block> blocks;
  std::string mark;
  std::size_t last = 0;
  walk(
      lines_of(page),
      [&](std::size_t i, const std::string& language, const std::string& line) {
        if (blocks.empty() || i != last + 1) {
          blocks.push_back({.page = page, .line = static_cast<int>(i) + 1, .language = language, .text = {}, .mark = mark});
          mark.clear();
        }
        blocks.back().text += line + "\n";
        last = i;
      },
      [&](std::size_t, const std::string& line) {
        std::smatch match;
        if (std::regex_match(line, match, kMark)) {
          mark = match[1];
        } else if (!line.empty()) {
          mark.clear();
        }
      });
  return blocks;
}

std::vector<std::string> prose_of(const std::string& page) {
  static const std::regex kCode("`[^`]*`");
  std::vector<std::string> lines;
  walk(
      lines_of(page), [](auto&&...) {}, [&](std::size_t, const std::string& line) { lines.push_back(std::regex_replace(line, kCode, "")); });
  return lines;
}

std::vector<std::string> anchors_of(const std::string& page) {
  std::vector<std::string> anchors;
  walk(
      lines_of(page), [](auto&&...) {}, [&](std::size_t, const std::string& line) {
        if (!line.starts_with("#")) return;
        std::string anchor;
        for (const char c : line.substr(line.find_first_not_of("# "))) {
          if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_') anchor += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
          if (c == ' ') anchor += '-';
        }
        anchors.push_back(anchor); });
  return anchors;
}

}  // namespace hinge::testing
