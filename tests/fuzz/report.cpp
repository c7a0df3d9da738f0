// What a report is made from, as somebody else's run: result.json with its networks, groups.json or metrics.jsonl, by the input's
// first byte; the others are as hinge writes them.
#include "tests/fuzz/target.h"
#include "tools/report/page.h"

using namespace hinge;
using namespace hinge::fuzz;

namespace {

constexpr const char* kConfig = R"({"command": "compress", "options": {"data": "cifar10", "model": "resnet20"}})";
constexpr const char* kResult = R"({"config": {"command": "compress", "options": {}}, "target": "flops=0.5", "folder": ".",
  "before": {"top1_error": 8.0, "cross_entropy": 0.3, "parameters": 10, "macs": 10}, "after": {"top1_error": 9.0, "cross_entropy": 0.4, "parameters": 5, "macs": 5}})";

}  // namespace

HINGE_FUZZ_TARGET(report, "", 8 * kMiB, 1024) {
  if (bytes.empty()) return;
  const char which = bytes[0];
  bytes.remove_prefix(1);
  file_of(kConfig, "config.json");
  file_of(which == 'r' ? bytes : kResult, "result.json");
  if (which == 'g') file_of(bytes, "groups.json");
  if (which == 'm') file_of(bytes, "metrics.jsonl");
  const std::vector<std::string> before = names_in_folder();
  const std::string page = report::page_of({report::read_run(folder())});
  promise(page.find("</html>") != std::string::npos, "a page has an end");
  promise(page.find("<script") == std::string::npos, "a page runs nothing");
  promise(names_in_folder() == before, "reading writes nothing");
}
