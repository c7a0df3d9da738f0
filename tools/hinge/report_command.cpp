// hinge report: the page of one run, or several runs on one page.
#include "engine/core/error.h"
#include "tools/hinge/commands.h"
#include "tools/hinge/console.h"
#include "tools/report/page.h"

namespace hinge::cli {
namespace {

struct Options {
  std::vector<std::string> runs;
  std::string out;
};

void report(const Options& options) {
  if (options.out.empty() && options.runs.size() > 1) fail_usage("--out is missing: the file for a page of {} runs", options.runs.size());
  const std::filesystem::path out = options.out.empty() ? std::filesystem::path(options.runs[0]) / "report.html" : std::filesystem::path(options.out);
  report::write_report({options.runs.begin(), options.runs.end()}, out);
  say("{}", out.string());
}

}  // namespace

Action declare_report(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("runs", options->runs, "Folders of runs; a control (--method random, svd, ...) beside a run shows what the search was worth")->required();
  app.add_option("--out", options->out, "File to write (default for one run: report.html in its folder)");
  app.footer("Examples:\n  hinge report RUN\n  hinge report RUN RUN-RANDOM RUN-SVD --out comparison.html");
  return [options] { report(*options); };
}

}  // namespace hinge::cli
