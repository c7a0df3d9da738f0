// Every call of the file layer, refused in turn: whole files of before or after, and nothing half written.
#include "engine/core/fault.h"
#include "engine/io/checkpoint.h"
#include "engine/io/file.h"
#include "tests/engine/io/scratch.h"
#include "tests/support/catch.h"

namespace hinge::io {
namespace {

using testing::contains;
using Names = std::set<std::string>;

constexpr const char* kCalls[] = {"create", "open", "write", "sync", "rename", "link", "truncate"};

// Runs `act` with the first, second, ... `call` failing, until it passes; `check` sees the message, "" where it passed.
template <class Act, class Check>
int refuse_each(const std::string& call, const Act& act, const Check& check) {
  for (int n = 1; n < 100; ++n) {
    INFO(call << " " << n);
    set_faults(fmt::format("{}:{}:EROFS", call, n));
    std::string message;
    try {
      act();
    } catch (const Error& error) {
      message = error.what();
    }
    set_faults("");
    check(message);
    if (message.empty()) return n - 1;
  }
  FAIL("it never passed");
  return 0;
}

TEST_CASE("whatever call is refused, a file is the old one or the new one and the message names it and the reason") {
  int refused = 0;
  for (const char* call : kCalls) {
    const Scratch scratch;
    write_file_atomically(scratch / "a", "old");
    refused += refuse_each(
        call, [&] { write_file_atomically(scratch / "a", "new"); },
        [&](const std::string& message) {
          const std::string found = read_file(scratch / "a");
          CHECK((found == "new" || (!message.empty() && found == "old")));
          CHECK(scratch.names() == Names{"a"});
          if (!message.empty()) CHECK_THAT(message, contains(scratch.folder().string()) && contains("Read-only file system"));
          write_file_atomically(scratch / "a", "old");
        });
  }
  CHECK(refused >= 4);  // create, write, rename, sync; a folder that can't be flushed on a read-only system has nothing to flush
}

TEST_CASE("a short write is gone on with, down to single bytes") {
  const Scratch scratch;
  const std::string text(1000, 'x');
  set_faults("write:1:short");
  write_file_atomically(scratch / "a", text);
  AppendFile log(scratch / "log");
  log.line(text);
  set_faults("");
  CHECK(read_file(scratch / "a") == text);
  CHECK(read_file(scratch / "log") == text + "\n");
}

TEST_CASE("whatever call is refused, the newest checkpoint is the old one or the new one, and no third file stays") {
  const auto state = [](int step) { return Checkpoint{{{"step", step}}, {{"w", Tensor::full({100}, static_cast<float>(step))}}}; };
  for (const char* call : kCalls) {
    const Scratch scratch;
    save_checkpoint(scratch.folder(), "c", state(1));
    save_checkpoint(scratch.folder(), "c", state(2));
    int step = 3;
    refuse_each(
        call, [&] { save_checkpoint(scratch.folder(), "c", state(step)); },
        [&](const std::string& message) {
          if (!message.empty()) CHECK_THAT(message, contains(scratch.folder().string()) && contains("Read-only file system"));
          const auto found = load_checkpoint(scratch.folder(), "c");
          REQUIRE(found.has_value());
          CHECK(found->warning.empty());
          const int newest = found->state.at("step").get<int>();
          CHECK((newest == step || (!message.empty() && newest == step - 1)));
          CHECK(scratch.names() == Names{"c.safetensors", "c.previous.safetensors"});
          save_checkpoint(scratch.folder(), "c", state(step++));
        });
  }
}

TEST_CASE("whatever call is refused, a log has whole lines") {
  for (const char* call : {"write", "truncate"}) {
    const Scratch scratch;
    AppendFile log(scratch / "log");
    log.line("one");
    refuse_each(
        call, [&] { log.line("two"); },
        [&](const std::string&) {
          const std::string text = read_file(scratch / "log");
          CHECK((text == "one\n" || text == "one\ntwo\n"));
          log.truncate(4);
        });
    set_faults("truncate:1:EROFS");
    CHECK_THAT(error_of([&] { log.truncate(2); }), contains("log: Read-only file system"));
    set_faults("");
  }
}

TEST_CASE("what a killed process left of a file is removed by the next that writes it, and what a living one writes or another machine's is not") {
  const Scratch scratch;
  write_file_atomically(scratch / "a.partial-999999999", "of a process that can't be");
  write_file_atomically(scratch / "b.partial-999999999", "of another file");
  write_file_atomically(scratch / "a.partial-1", "of a process that lives");
  const std::string own = partial_path("a").string(), host = own.substr(0, own.rfind('-') + 1);
  write_file_atomically(scratch / (host + "999999999"), "of a process of this machine that can't be");
  write_file_atomically(scratch / (host + "1"), "of one that lives");
  write_file_atomically(scratch / "a.partial-elsewhere-999999999", "of another machine, where it may live");
  write_file_atomically(scratch / "a", "new");
  CHECK(scratch.names() == Names{"a", "a.partial-1", host + "1", "a.partial-elsewhere-999999999", "b.partial-999999999"});
}

}  // namespace
}  // namespace hinge::io
