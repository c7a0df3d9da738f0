// The system lets the program down in every way that HINGE_FAULT knows: it says what and where, leaves nothing half
// written, and the resumed run ends with the same bytes.
#include "engine/io/checkpoint.h"
#include "tests/support/catch.h"
#include "tests/tools/essence.h"
#include "tests/tools/tiny_bench.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

using Words = std::vector<std::string>;

// One tiny run to its end, and others like it that are let down.
class FaultyRun {
 public:
  explicit FaultyRun(Words command) : command_(std::move(command)), bench_(12) {
    if (command_[0] != "train") command_.insert(command_.end(), {"--weights", bench_.weights});
    for (const std::string& word : {std::string("--data"), std::string("cifar10"), std::string("--data-dir"), bench_.data, std::string("--held-out"), std::string("12"), std::string("--batch"), std::string("8"), std::string("--epochs"), std::string("1"), std::string("--checkpoint-every"), std::string("2"), std::string("--seed"), std::string("3")}) command_.push_back(word);
    const Outcome outcome = run_hinge(with_out("whole"));
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
    whole_ = essence(bench_.at("whole"));
    command_.insert(command_.end(), {"--conv-choices", bench_.at("whole/conv_choices.json")});
  }

  std::string at(const std::string& name) const { return bench_.at(name); }
  Words with_out(const std::string& run) const {
    Words words = command_;
    words.insert(words.end(), {"--out", at(run)});
    return words;
  }
  Words begin_or_resume() const {
    return std::filesystem::exists(at("run/config.json")) ? Words{command_[0], "--resume", at("run")} : with_out("run");
  }
  Outcome start_with(const std::string& fault) {
    std::filesystem::remove_all(at("run"));
    return run_hinge(with_out("run"), fault);
  }
  // Exit code 1 with a message that has `reason` and a name from the folder, or no harm done. True if it was refused.
  bool check_let_down(const std::string& fault, const std::string& reason) {
    const Outcome outcome = start_with(fault);
    INFO(fault << ": " << outcome.output);
    CHECK((outcome.code == 0 || outcome.code == 1));
    if (outcome.code == 1) {
      CHECK_THAT(outcome.output, contains(reason));
      if (reason.find("memory") == std::string::npos) CHECK_THAT(outcome.output, contains(bench_.scratch.folder().string()));
    }
    check_recovers();
    return outcome.code == 1;
  }
  void check_recovers() {
    if (std::filesystem::exists(at("run"))) {
      CHECK(half_written(at("run")) == "");
      CHECK_NOTHROW(io::load_checkpoint(at("run"), "checkpoint"));
    }
    const Outcome resumed = run_hinge(begin_or_resume());
    INFO(resumed.output);
    REQUIRE(resumed.code == 0);
    check_whole();
  }
  void check_whole() const { CHECK((essence(at("run")) == whole_)); }

 private:
  Words command_;
  TinyBench bench_;
  std::string whole_;
};

struct Way {
  std::string call, error, reason;
  std::vector<int> at;  // which of the calls; all of them in the long form
};

const std::vector<Way> kWays = {{"write", "ENOSPC", "No space left on device", {1, 6, 14}},
                                {"create", "EROFS", "Read-only file system", {1, 5}},
                                {"create", "EACCES", "Permission denied", {7}},
                                {"sync", "EIO", "Input/output error", {2, 7}},
                                {"rename", "EIO", "Input/output error", {3, 6}},
                                {"truncate", "EIO", "Input/output error", {1}}};

}  // namespace

TEST_CASE("a disk that is full, read-only or broken ends a run with the file and the reason, and the resumed run has the same bytes") {
  FaultyRun run({"train", "--model", "resnet8"});
  for (const Way& way : kWays) {
    if (long_tests()) {  // every call there is
      int n = 1;
      while (run.check_let_down(fmt::format("{}:{}:{}", way.call, n, way.error), way.reason)) ++n;
      CHECK(n > 1);
    } else {
      for (int n : way.at) CHECK(run.check_let_down(fmt::format("{}:{}:{}", way.call, n, way.error), way.reason));
    }
  }
}

TEST_CASE("a disk that is full in any phase of a compression ends it with the file and the reason", "[night]") {
  FaultyRun run({"compress", "--search-epochs", "1", "--check-every", "3", "--target", "flops=0.6"});
  for (const char* file : {"inputs.json", "metrics", "surgery", "plan.json", "model.safetensors", "tuned.json", "result.json", "report.html"}) {
    const Outcome outcome = run.start_with(fmt::format("write:1:ENOSPC:{}", file));
    INFO(outcome.output);
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.output, contains(file) && contains("No space left on device"));
    run.check_recovers();
  }
}

TEST_CASE("short writes, a file system without links and a clock that goes backwards do no harm") {
  FaultyRun run({"train", "--model", "resnet8", "--tensorboard"});
  for (const char* fault : {"write:1:short", "link:1:EIO", "clock:2:back"}) {
    const Outcome outcome = run.start_with(fault);
    INFO(fault << ": " << outcome.output);
    CHECK(outcome.code == 0);
    run.check_whole();
    CHECK(half_written(run.at("run")) == "");
  }
  // Killed, and resumed by a clock that is two days slower.
  CHECK(run.start_with("rename:5:kill").code == 128 + SIGKILL);
  CHECK(run_hinge(run.begin_or_resume(), "clock:1:back").code == 0);
  run.check_whole();
}

TEST_CASE("memory that can't be had ends the run with how much was asked for, and the resumed run has the same bytes") {
  FaultyRun run({"compress", "--search-epochs", "1", "--check-every", "3", "--target", "flops=0.6"});
  int n = 1, refused = 0;
  for (; run.check_let_down(fmt::format("allocate:{}:ENOMEM", n), "cpu: out of memory: asked for "); n = long_tests() ? n + 1 : 3 * n + 1) ++refused;
  CHECK(refused >= (long_tests() ? 100 : 4));
}

TEST_CASE("a checkpoint with a flipped bit is found, the one before it is used and said to be, and the bytes are the same") {
  FaultyRun run({"train", "--model", "resnet8"});
  REQUIRE(run.start_with("rename:4:kill:checkpoint").code == 128 + SIGKILL);
  const auto flip = [&](const std::string& name) {
    std::string bytes = slurp(run.at(name));
    REQUIRE(bytes.size() > 5000);
    bytes[bytes.size() - 4321] = static_cast<char>(bytes[bytes.size() - 4321] ^ 4);
    std::ofstream(run.at(name), std::ios::binary) << bytes;
  };
  REQUIRE(std::filesystem::exists(run.at("run/checkpoint.previous.safetensors")));
  flip("run/checkpoint.safetensors");
  const Outcome resumed = run_hinge(run.begin_or_resume());
  INFO(resumed.output);
  CHECK(resumed.code == 0);
  CHECK_THAT(resumed.output, contains("warning: " + run.at("run/checkpoint.safetensors") + ": damaged") && contains("read " + run.at("run/checkpoint.previous.safetensors") + " in its place"));
  run.check_whole();

  flip("run/checkpoint.safetensors");
  flip("run/checkpoint.previous.safetensors");
  const Outcome lost = run_hinge(run.begin_or_resume());
  CHECK(lost.code == 1);
  CHECK_THAT(lost.output, contains("no usable checkpoint") && contains(run.at("run/checkpoint.safetensors") + ": damaged") && contains(run.at("run/checkpoint.previous.safetensors") + ": damaged"));
}

TEST_CASE("words that HINGE_FAULT doesn't know are refused") {
  for (const char* words : {"write", "write:0:EIO", "write:x:EIO", "write:1:EFOO", "rewrite:1:EIO", "write:1:EIO,"}) {
    const Outcome outcome = run_hinge({"eval", "--weights", "/nowhere.safetensors"}, words);
    INFO(words << outcome.output);
    CHECK(outcome.code == (std::string(words).ends_with(",") ? 1 : 2));
  }
}
