#include "tools/report/page.h"

#include <fmt/format.h>

#include "engine/io/file.h"
#include "tools/report/markup.h"
#include "tools/report/sections.h"
#include "tools/report/style.h"

namespace hinge::report {
namespace {

std::string run_in_full(const Run& run) {
  return trade_off_section({run}) + budget_section(run) + layers_section(run) + times_section(run) + training_section(run) + histogram_section(run) + proof_section(run) + origin_section(run);
}

std::string folded(const Run& run) {
  return fmt::format("<details><summary>{}: {}</summary>{}{}</details>\n", escaped(short_name(run)), escaped(title_of(run)), headline_section(run),
                     budget_section(run) + layers_section(run) + times_section(run) + training_section(run) + histogram_section(run) + proof_section(run) + origin_section(run));
}

}  // namespace

std::string document(const std::string& title, const std::string& body) {
  // The policy keeps the page from loading anything, whatever stands in a name.
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>{0}</title>\n<style>{1}</style>\n</head>\n"
      "<body>\n<main>\n<h1>{0}</h1>\n{2}</main>\n</body>\n</html>\n",
      escaped(title), kStyle, body);
}

std::string page_of(const std::vector<Run>& runs) {
  std::string title, body;
  if (runs.size() == 1) {
    title = title_of(runs[0]);
    body = headline_section(runs[0]) + run_in_full(runs[0]);
  } else {
    title = fmt::format("{} runs compared", runs.size());
    body = comparison_section(runs) + trade_off_section(runs) + "<section><h2>Each run</h2>";
    for (const Run& run : runs) body += folded(run);
    body += "</section>";
  }
  return document(title, body);
}

void write_report(const std::vector<std::filesystem::path>& folders, const std::filesystem::path& out) {
  std::vector<Run> runs;
  for (const auto& folder : folders) runs.push_back(read_run(folder));
  io::write_file_atomically(out, page_of(runs));
}

}  // namespace hinge::report
