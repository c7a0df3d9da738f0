// Files that are written piece by piece: whole under their name, or not there.
#include "engine/io/growing_file.h"

#include "engine/io/file.h"
#include "tests/engine/io/scratch.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::io;
using namespace hinge::testing;

namespace {

std::size_t entries(const std::filesystem::path& folder) { return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {})); }

}  // namespace

TEST_CASE("a growing file has its name when it is finished, and replaces what had it before") {
  const Scratch scratch;
  const auto path = scratch.folder() / "a";
  write_file_atomically(path, "before");
  GrowingFile file(path);
  file.append("one ");
  file.append("");
  file.append("two");
  CHECK(file.size() == 7);
  CHECK(read_file(path) == "before");
  file.finish();
  CHECK(read_file(path) == "one two");
  CHECK(entries(scratch.folder()) == 1);
}

TEST_CASE("of a growing file that isn't finished nothing stays") {
  const Scratch scratch;
  { GrowingFile(scratch.folder() / "a").append("one"); }
  CHECK(entries(scratch.folder()) == 0);
  faults() = {.fail_write_after_bytes = 2};
  try {
    GrowingFile file(scratch.folder() / "a");
    file.append("one");
    faults() = {};
    FAIL("a full disk was not noticed");
  } catch (const Error& error) {
    faults() = {};
    CHECK_THAT(error.what(), contains("cannot write") && contains("No space left on device"));
  }
  CHECK(entries(scratch.folder()) == 0);
  CHECK_THROWS_WITH(GrowingFile(scratch.folder() / "none" / "a"), contains("cannot write") && contains("No such file"));
}
