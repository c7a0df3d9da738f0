// Files that are written piece by piece: whole under their name, or not there.
#include "engine/io/growing_file.h"

#include "engine/core/fault.h"
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

TEST_CASE("a growing file that can't be flushed or named says how far it came, and leaves what was there") {
  for (const auto& [fault, reason] : {std::pair("sync:1:EIO:a.partial", "Input/output error"), {"rename:1:EACCES", "Permission denied"}}) {
    const Scratch scratch;
    const auto path = scratch.folder() / "a";
    write_file_atomically(path, "before");
    {
      GrowingFile file(path);
      file.append("one two");
      set_faults(fault);
      CHECK(error_of([&] { file.finish(); }) == fmt::format("cannot write {}: {} (wrote 7 bytes)", path.string(), reason));
      set_faults("");
    }
    CHECK(read_file(path) == "before");
    CHECK(entries(scratch.folder()) == 1);
  }
}

TEST_CASE("a growing file survives a write that takes a part, and names what it couldn't") {
  const Scratch scratch;
  set_faults("write:1:short");
  GrowingFile file(scratch.folder() / "a", 14);
  file.append("one two");
  set_faults("write:1:EDQUOT");
  CHECK_THAT(error_of([&] { file.append("three"); }), contains("Disk quota exceeded (wrote 7 of 14 bytes)"));
  set_faults("");
  file.append(" three!");
  file.finish();
  CHECK(read_file(scratch.folder() / "a") == "one two three!");
}
