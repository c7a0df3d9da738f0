// What of tools/gpu_check.sh and the scripts beside it can be tried without a GPU: that they parse, say what they would do,
// and refuse what makes no sense.
#include <cstdlib>

#include "tests/support/catch.h"
#include "tests/tools/process.h"

using namespace hinge::testing;

namespace {

const std::string kTools = std::string(HINGE_SOURCE_DIR) + "/tools/";

// Standard output and error of a shell command, and its exit code.
Outcome shell(const std::string& command) {
  const auto log = std::filesystem::temp_directory_path() / ("hinge-shell-" + std::to_string(getpid()));
  const int status = std::system((command + " >" + log.string() + " 2>&1").c_str());
  Outcome outcome{WEXITSTATUS(status), slurp(log)};
  std::filesystem::remove(log);
  return outcome;
}
bool has_gpu() { return shell("nvidia-smi -L").code == 0; }

}  // namespace

TEST_CASE("gpu_check.sh parses, and without a GPU says what it would do and why it can't") {
  CHECK(shell("bash -n " + kTools + "gpu_check.sh").output == "");
  if (has_gpu()) return;
  const Outcome dry = shell(kTools + "gpu_check.sh --dry-run");
  CHECK(dry.code == 1);
  for (const char* part : {"tests", "memcheck", "racecheck", "initcheck", "synccheck", "bench", "bench-tf32", "inference", "train", "precision", "pytorch", "rows"}) {
    CHECK_THAT(dry.output, contains(std::string("would run: ") + part + ": "));
  }
  CHECK_THAT(dry.output, contains("no NVIDIA GPU can be used here"));
  const Outcome plain = shell(kTools + "gpu_check.sh");
  CHECK(plain.code == 1);
  CHECK_THAT(plain.output, contains("no NVIDIA GPU can be used here"));
}

TEST_CASE("gpu_check.sh refuses unknown options and parts") {
  CHECK(shell(kTools + "gpu_check.sh --frobnicate").code == 2);
  CHECK_THAT(shell(kTools + "gpu_check.sh --only speed").output, contains("no such part (known: tests memcheck"));
  CHECK(shell(kTools + "gpu_check.sh --out").code == 2);
  CHECK_THAT(shell(kTools + "gpu_check.sh --minutes 0").output, contains("expected a whole number above 0"));
  CHECK_THAT(shell(kTools + "gpu_check.sh --cifar /nowhere/cifar").output, contains("--cifar /nowhere/cifar: no such folder"));
}

TEST_CASE("bench.sh refuses what makes no sense before it measures anything") {
  CHECK(shell("bash -n " + kTools + "bench.sh").output == "");
  for (const char* words : {"--frobnicate", "--rounds", "--rounds 0", "--rounds three", "--only speed"}) {
    INFO(words);
    const Outcome refused = shell(kTools + "bench.sh " + words);
    CHECK(refused.code == 2);
    CHECK_THAT(refused.output, contains("tools/bench.sh: "));
  }
  const Outcome missing = shell(kTools + "bench.sh --python /nowhere/python3");
  CHECK(missing.code == 1);
  CHECK(shell(kTools + "bench.sh --help").code == 0);
}

TEST_CASE("gpu_check.sh skips what was finished before it was cut off") {
  const auto folder = std::filesystem::temp_directory_path() / ("hinge-gpu-check-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "memcheck.done");
  const std::string output = shell(kTools + "gpu_check.sh --dry-run --out " + folder.string()).output;
  CHECK_THAT(output, contains("compute-sanitizer memcheck (done, would be skipped)"));
  CHECK_THAT(output, !contains("racecheck (done"));
  std::filesystem::remove_all(folder);
}

TEST_CASE("a GPU that isn't there is an error, a device that is none a usage error") {
  const Outcome unknown = run_hinge({"eval", "--weights", "x", "--device", "gpu0"});
  CHECK(unknown.code == 2);
  CHECK_THAT(unknown.output, contains("unknown device 'gpu0', expected auto, cpu or cuda:N"));
  const Outcome absent = run_hinge({"eval", "--weights", "x", "--device", "cuda:99"});
  CHECK(absent.code == 1);
  CHECK_THAT(absent.output, contains("cuda:99"));
  const Outcome precise = run_hinge({"eval", "--weights", "x", "--precision", "fp8"});
  CHECK(precise.code == 2);
  CHECK_THAT(precise.output, contains("unknown precision 'fp8' (known: fp32, tf32)"));
}
