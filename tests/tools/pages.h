// Documentation pages as the tests see them: blocks of commands and code, and headings.
//
// A block indented by four, or fenced as sh, is commands for a shell. Blocks fenced as text are for the eye. A comment right above a
// block says what else there is to know of it:
//   <!-- not run: WHY -->     commands that no test runs from the page
//   <!-- file: NAME -->       code that the build compiles as that file (cmake/page_code.cmake)
#pragma once

#include <string>
#include <vector>

namespace hinge::testing {

struct Block {
  std::string page;      // relative to the source folder
  int line = 0;          // of its first line, from 1
  std::string language;  // "sh" also where it is indented; "" where a fence doesn't say
  std::string text;
  std::string mark;  // "not run: ..." or "file: ..."
};

// Every .md file of the source tree, relative to it, in order.
std::vector<std::string> pages();
std::vector<Block> blocks_of(const std::string& page);
// The page without its blocks and `code`, line by line: what links and headings are looked for in.
std::vector<std::string> prose_of(const std::string& page);
// What a link to each heading ends in behind the #: "## Add it, then" -> "add-it-then".
std::vector<std::string> anchors_of(const std::string& page);

}  // namespace hinge::testing
