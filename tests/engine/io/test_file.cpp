// engine/io/file: whole files or none, whole lines or none, one process per folder.
#include "engine/io/file.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/engine/io/scratch.h"
#include "tests/support/catch.h"

namespace hinge::io {
namespace {

using testing::contains;
using Names = std::set<std::string>;

std::string every_byte_value(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7 % 256);
  return text;
}

TEST_CASE("a file reads back as it was written") {
  const Scratch scratch;
  for (std::size_t size : {0, 1, 4095, 4096, 4097, 200'000}) {
    const std::string text = every_byte_value(size);
    write_file_atomically(scratch / "a", text);
    CHECK(read_file(scratch / "a") == text);
  }
  CHECK(scratch.names() == Names{"a"});
}

TEST_CASE("parts are written one behind the other, empty ones too") {
  const Scratch scratch;
  const std::string first = "one", last = "three";
  const std::array<std::span<const std::byte>, 3> parts = {std::as_bytes(std::span(first)),
                                                           std::span<const std::byte>{},
                                                           std::as_bytes(std::span(last))};
  write_file_atomically(scratch / "a", parts);
  CHECK(read_file(scratch / "a") == "onethree");
}

TEST_CASE("a file without a known size is read to its end") {
  CHECK(read_file("/proc/self/status").size() > 100);
}

TEST_CASE("reading fails with the name of the file and the reason") {
  const Scratch scratch;
  CHECK(error_of([&] { read_file(scratch / "none"); }) ==
        "cannot read " + (scratch / "none").string() + ": No such file or directory");
  CHECK_THAT(error_of([&] { read_file(scratch.folder()); }), contains("Is a directory"));
  write_file_atomically(scratch / "ten", "0123456789");
  CHECK(read_file(scratch / "ten", 10).size() == 10);
  CHECK_THAT(error_of([&] { read_file(scratch / "ten", 9); }),
             contains("it has 10 bytes, at most 9 are expected"));
  CHECK_THAT(error_of([&] { read_file("/proc/self/status", 9); }), contains("at most"));
}

TEST_CASE("a write that fails at any byte leaves the old file whole and nothing else") {
  const Scratch scratch;
  const std::string old_text = "what was there before", new_text = every_byte_value(100);
  write_file_atomically(scratch / "a", old_text);
  for (std::int64_t bytes = 0; bytes < 100; ++bytes) {
    for (int error : {ENOSPC, EIO}) {
      faults() = {bytes, error};
      const std::string message = error_of([&] { write_file_atomically(scratch / "a", new_text); });
      faults() = {};
      CHECK(message ==
            fmt::format("cannot write {}: {} (wrote {} of 100 bytes)", (scratch / "a").string(),
                        error == ENOSPC ? "No space left on device" : "Input/output error", bytes));
      CHECK(read_file(scratch / "a") == old_text);
      CHECK(scratch.names() == Names{"a"});
    }
  }
  faults() = {100, ENOSPC};  // exactly enough
  write_file_atomically(scratch / "a", new_text);
  CHECK(read_file(scratch / "a") == new_text);
}

TEST_CASE("a failed write of a new file leaves nothing, and a missing folder is named") {
  const Scratch scratch;
  faults() = {3, ENOSPC};
  CHECK_THAT(error_of([&] { write_file_atomically(scratch / "a", "12345"); }),
             contains("(wrote 3 of 5 bytes)"));
  faults() = {};
  CHECK(scratch.names().empty());
  CHECK_THAT(error_of([&] { write_file_atomically(scratch / "b/a", "x"); }),
             contains("b/a: No such file or directory (wrote 0 of 1 bytes)"));
  std::filesystem::create_directory(scratch / "folder");
  CHECK_THAT(error_of([&] { write_file_atomically(scratch / "folder", "x"); }),
             contains("Is a directory"));
  CHECK(scratch.names() == Names{"folder"});
}

TEST_CASE("a file without a folder in its name goes to the current one") {
  const Scratch scratch;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(scratch.folder());
  write_file_atomically("a", "x");
  std::filesystem::current_path(before);
  CHECK(read_file(scratch / "a") == "x");
}

TEST_CASE("a reader sees the old file or the new one, never a mixture") {
  const Scratch scratch;
  const std::string texts[] = {std::string(50'000, 'a'), std::string(50'000, 'b')};
  write_file_atomically(scratch / "f", texts[0]);
  int mixtures = 0;
  std::jthread reader([&](std::stop_token stop) {
    while (!stop.stop_requested()) {
      const std::string seen = read_file(scratch / "f");
      if (seen != texts[0] && seen != texts[1]) ++mixtures;
    }
  });
  for (std::size_t i = 0; i < 50; ++i) write_file_atomically(scratch / "f", texts[i % 2]);
  reader.request_stop();
  reader.join();
  CHECK(mixtures == 0);
}

TEST_CASE("a second name outlives the first, and replacing works on two names of one file") {
  const Scratch scratch;
  write_file_atomically(scratch / "a", "old");
  link_or_copy(scratch / "a", scratch / "b");
  write_file_atomically(scratch / "a", "new");
  CHECK(read_file(scratch / "b") == "old");
  replace_file(scratch / "b", scratch / "c");
  CHECK(scratch.names() == Names{"a", "c"});
  link_or_copy(scratch / "c", scratch / "b");
  replace_file(scratch / "b", scratch / "c");
  CHECK(scratch.names() == Names{"a", "c"});
  CHECK(read_file(scratch / "c") == "old");
  CHECK_THAT(error_of([&] { replace_file(scratch / "b", scratch / "c"); }),
             contains("No such file"));
}

TEST_CASE("lines are appended across openings, and can be cut back") {
  const Scratch scratch;
  {
    AppendFile log(scratch / "log");
    log.line("one");
    CHECK(log.size() == 4);
    log.line("");
  }
  AppendFile log(scratch / "log");
  CHECK(log.size() == 5);
  log.line("three");
  CHECK(read_file(scratch / "log") == "one\n\nthree\n");
  log.truncate(4);
  log.line("two");
  CHECK(read_file(scratch / "log") == "one\ntwo\n");
  CHECK_THAT(error_of([&] { log.truncate(9); }), contains("to 9 bytes: it has 8"));
  CHECK_THAT(error_of([&] { log.line("a\nb"); }), contains("a line break"));
  CHECK_THAT(error_of([&] { AppendFile(scratch / "none/log"); }), contains("No such file"));
  CHECK(read_file(scratch / "log") == "one\ntwo\n");
}

TEST_CASE("a line that fails at any byte leaves no part of itself") {
  const Scratch scratch;
  AppendFile log(scratch / "log");
  log.line("first");
  for (std::int64_t bytes = 0; bytes < 7; ++bytes) {
    faults() = {bytes, ENOSPC};
    const std::string message = error_of([&] { log.line("second"); });
    faults() = {};
    CHECK_THAT(message, contains(fmt::format("(wrote {} of 7 bytes)", bytes)));
    CHECK(read_file(scratch / "log") == "first\n");
  }
  log.line("second");
  CHECK(read_file(scratch / "log") == "first\nsecond\n");
}

TEST_CASE("a folder in use is refused with the process that uses it, then free again") {
  const Scratch scratch;
  const std::string refusal =
      fmt::format("{} is in use by process {}", scratch.folder().string(), ::getpid());
  {
    const FolderLock lock(scratch.folder());
    CHECK(error_of([&] { FolderLock second(scratch.folder()); }) == refusal);
    const pid_t child = ::fork();
    if (child == 0) {  // another process: 0 if it was refused with the id of its parent
      ::_exit(error_of([&] { FolderLock second(scratch.folder()); }) == refusal ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(error_of([&] { FolderLock second(scratch.folder()); }) == refusal);
  }
  CHECK(error_of([&] { FolderLock again(scratch.folder()); }) == "no error");
  CHECK_THAT(error_of([&] { FolderLock lock(scratch / "none"); }),
             contains("none: No such file or directory"));
}

TEST_CASE("a process that dies loses its lock, and what it was writing is cleared away") {
  const Scratch scratch;
  const pid_t child = ::fork();
  if (child == 0) {
    auto* lock = new FolderLock(scratch.folder());  // left behind, as by a kill
    write_file_atomically(scratch / "whole", "x");
    AppendFile(partial_path(scratch / "model")).line("half");
    ::_exit(lock != nullptr ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  const Names names = scratch.names();
  const auto of_child = [&](const std::string& name) { return name.starts_with("model.partial-") && name.ends_with(fmt::format("-{}", child)); };
  CHECK(std::ranges::count_if(names, of_child) == 1);

  write_file_atomically(scratch / "notes.partial-draft", "not ours");
  write_file_atomically(scratch / fmt::format("other.partial-{}", ::getppid()), "still written");
  write_file_atomically(scratch / fmt::format("model.partial-elsewhere-{}", child), "on another machine");
  const FolderLock lock(scratch.folder());
  CHECK(scratch.names() == Names{".lock", "whole", "notes.partial-draft", fmt::format("model.partial-elsewhere-{}", child),
                                 fmt::format("other.partial-{}", ::getppid())});
}

// In a container of its own: with this host name, as process 1. False where the system doesn't let us.
bool enter_container(const char* host) {
  if (::unshare(CLONE_NEWUTS | CLONE_NEWPID) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWUTS | CLONE_NEWPID) != 0) return false;
  return ::sethostname(host, std::strlen(host)) == 0;
}

TEST_CASE("processes of one number on two hosts write one file at once, and don't take each other's") {
  const Scratch scratch;
  constexpr int kNoContainers = 77;
  const auto write_much = [&](char letter) {
    const std::string text(100'000, letter);
    for (int i = 0; i < 150; ++i) {
      write_file_atomically(scratch / "a", text);
      const std::string read = read_file(scratch / "a");
      require(read.size() == text.size() && read.find_first_not_of(read[0]) == std::string::npos, "two writers in one file");
    }
  };
  std::vector<pid_t> hosts;
  for (const char* host : {"one.example.org", "two.example.org"}) {
    hosts.push_back(::fork());
    if (hosts.back() != 0) continue;
    if (!enter_container(host)) ::_exit(kNoContainers);
    const pid_t writer = ::fork();
    if (writer == 0) {
      const std::string error = error_of([&] { write_much(host[0]); });
      if (error != "no error") std::fprintf(stderr, "%s, process %d: %s\n", host, ::getpid(), error.c_str());
      ::_exit(error == "no error" && ::getpid() == 1 ? 0 : 1);
    }
    int status = -1;
    ::waitpid(writer, &status, 0);
    ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 2);
  }
  for (const pid_t host : hosts) {
    int status = -1;
    REQUIRE(::waitpid(host, &status, 0) == host);
    REQUIRE(WIFEXITED(status));
    if (WEXITSTATUS(status) == kNoContainers) {
      WARN("skipped: no containers here");
      continue;
    }
    CHECK(WEXITSTATUS(status) == 0);
  }
  CHECK(scratch.names().size() <= 1);
}

}  // namespace
}  // namespace hinge::io
