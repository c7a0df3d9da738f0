// report.html: one file that needs nothing else, can be mailed, and reads on a phone.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tools/report/run.h"

namespace hinge::report {

// A whole page in the style of all reports: `body` is HTML behind the title's heading.
std::string document(const std::string& title, const std::string& body);

// One run in full; several runs side by side, with each of them folded up below. The text is well-formed XML.
std::string page_of(const std::vector<Run>& runs);

// Reads the folders and writes the page atomically.
void write_report(const std::vector<std::filesystem::path>& folders, const std::filesystem::path& out);

}  // namespace hinge::report
