// What scripts write under docs is what they would write now.
#include <set>

#include "tests/support/catch.h"
#include "tests/tools/process.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

void check_current(const std::filesystem::path& committed, const std::filesystem::path& now) {
  CHECK(names_in(committed) == names_in(now));
  for (const std::string& name : names_in(now)) {
    INFO(name);
    CHECK(slurp(committed / name) == slurp(now / name));
  }
}

}  // namespace

TEST_CASE("the reference of the command line is the program's own: else run tools/dev/cli_reference.sh") {
  const io::Scratch scratch;
  const Outcome outcome = run_hinge({"reference", scratch.folder().string()});
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  CHECK(names_in(scratch.folder()).size() == 14);
  check_current(HINGE_SOURCE_DIR "/docs/reference", scratch.folder());
}

TEST_CASE("the figures of the method are drawn from the committed run: else run tools/dev/method_figures.py") {
  if (std::system("/usr/bin/python3 -c '' >/dev/null 2>&1") != 0) {
    WARN("skipped: no /usr/bin/python3");
    return;
  }
  const io::Scratch scratch;
  REQUIRE(std::system(("/usr/bin/python3 " HINGE_SOURCE_DIR "/tools/dev/method_figures.py '" + scratch.folder().string() + "'").c_str()) == 0);
  check_current(HINGE_SOURCE_DIR "/docs/figures", scratch.folder());
}

TEST_CASE("the command that writes the reference is for who changes hinge: help and completion leave it out") {
  CHECK(run_hinge({"--help"}).output.find("reference") == std::string::npos);
  CHECK(run_hinge({"completion", "bash"}).output.find("reference") == std::string::npos);
}
