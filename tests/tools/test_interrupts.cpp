// Signals meet no thread that computes (docs/decisions/0025).
#include <utility>

#include "tests/support/catch.h"
#include "tests/tools/tiny_bench.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// A run that takes minutes, in steps of a good part of a second. Ends with the object.
struct LongRun {
  TinyBench bench{30};
  pid_t process = start_hinge({"train", "--model", "vgg16", "--data", "cifar10", "--data-dir", bench.data, "--held-out", "0", "--batch", "128", "--epochs", "1000", "--out", bench.at("run")},
                              bench.at("log"));
  ~LongRun() {
    if (process > 0) kill(process, SIGKILL), wait_for(process);
  }
  bool trains() const {
    return wait_until(process, [&] { return slurp(bench.at("log")).find("epoch 1/") != std::string::npos; });
  }
  int end() { return wait_for(std::exchange(process, 0)); }
};

// A set of signals as /proc prints it.
bool has_signal(const std::string& status, const std::string& line, int signal) {
  const auto at = status.find(line + ":");
  REQUIRE(at != std::string::npos);
  return (std::stoull(status.substr(at + line.size() + 1), nullptr, 16) >> (signal - 1) & 1) != 0;
}

}  // namespace

TEST_CASE("a run has no handler for Ctrl-C or SIGTERM that could be called on the stack of a thread that computes, and all such threads block them") {
  LongRun run;
  REQUIRE(run.trains());
  const auto threads = std::filesystem::path("/proc") / std::to_string(run.process) / "task";
  for (const int signal : {SIGINT, SIGTERM}) {
    int there = 0, open = 0;
    for (const auto& thread : std::filesystem::directory_iterator(threads)) {
      const std::string status = slurp(thread.path() / "status");
      CHECK_FALSE(has_signal(status, "SigCgt", signal));
      CHECK_FALSE(has_signal(status, "SigIgn", signal));
      ++there, open += !has_signal(status, "SigBlk", signal);
    }
    INFO("signal " << signal << ": " << there << " threads, " << open << " of them take it");
    CHECK(there >= 3);  // two that compute and the one that waits, which Linux shows as taking what it waits for
    CHECK(open == 1);
  }
}

TEST_CASE("one signal stops a run behind its step, two end it at once as the second would any program") {
  LongRun patient;
  REQUIRE(patient.trains());
  kill(patient.process, SIGTERM);
  CHECK(patient.end() == 130);
  CHECK(slurp(patient.bench.at("log")).find("everything is saved") != std::string::npos);
  LongRun pressed;
  REQUIRE(pressed.trains());
  // While it stands still both are sent: it finds them together when it goes on, in the middle of a step.
  for (const int signal : {SIGSTOP, SIGINT, SIGTERM, SIGCONT}) kill(pressed.process, signal);
  CHECK(pressed.end() == 128 + SIGTERM);
  CHECK(slurp(pressed.bench.at("log")).find("everything is saved") == std::string::npos);
}
