// Whatever a run was doing when it was killed, the resumed one ends with the same bytes as one that was left alone.
//
// Kills come at random moments (SIGKILL, SIGTERM, SIGINT), and at random calls of the file layer: in front of a rename
// or a flush, behind half of a write (HINGE_FAULT). 20 kills, or 200 with HINGE_LONG_TESTS=1; HINGE_KILL_SEED chooses others.
#include <iostream>
#include <map>

#include "engine/io/checkpoint.h"
#include "engine/io/safetensors.h"
#include "kernels/philox.h"
#include "tests/support/catch.h"
#include "tests/tools/essence.h"
#include "tests/tools/tiny_bench.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

using Path = std::filesystem::path;

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : seed_(seed) {}
  double uniform() { return static_cast<double>(hinge::uniform(random_words(seed_, RandomUse::kTest, 91, count_++).word[0])); }
  int below(int n) { return static_cast<int>(uniform() * n); }
  template <class T>
  const T& of(const std::vector<T>& choices) {
    return choices[static_cast<std::size_t>(below(static_cast<int>(choices.size())))];
  }

 private:
  std::uint64_t seed_, count_ = 0;
};

// How one process is to end: by a signal after a time, or in a call of the file layer.
struct Kill {
  int signal = 0, milliseconds = 0;
  std::string fault;
  std::string to_string() const { return fault.empty() ? fmt::format("signal {} after {} ms", signal, milliseconds) : fault; }
};

Kill random_kill(Dice& dice, double milliseconds) {
  if (dice.uniform() < 0.5) return {dice.of(std::vector<int>{SIGKILL, SIGKILL, SIGTERM, SIGINT}), static_cast<int>(dice.uniform() * milliseconds), ""};
  const std::string call = dice.of(std::vector<std::string>{"write", "sync", "rename", "link", "create"});
  const std::string part = dice.of(std::vector<std::string>{"", ":checkpoint"});
  return {SIGKILL, 0, fmt::format("{}:{}:kill{}", call, 1 + dice.below(call == "write" ? 40 : 12), part)};
}

struct Job {
  std::string name;                // of the folder
  std::vector<std::string> first;  // arguments, without --out
  Path out;
  bool resumable = true;

  std::vector<std::string> arguments() const {
    if (resumable && std::filesystem::exists(out / "config.json")) return {first[0], "--resume", out.string()};
    std::vector<std::string> all = first;
    all.insert(all.end(), {"--out", out.string()});
    return all;
  }
  std::string bytes() const { return resumable ? essence(out) : slurp(out); }
};

int run_until(const Job& job, const Kill& kill, const Path& log) {
  if (!kill.fault.empty()) return wait_for(start_hinge(job.arguments(), log, kill.fault));
  return run_and_signal(job.arguments(), kill.milliseconds, kill.signal, log);
}

// What must hold between a kill and the next start.
void check_what_is_there(const Job& job, const std::string& whole_export) {
  if (!job.resumable) {
    CHECK((!std::filesystem::exists(job.out) || slurp(job.out) == whole_export));
    return;
  }
  if (!std::filesystem::exists(job.out)) return;
  const auto checkpoint = io::load_checkpoint(job.out, "checkpoint");
  CHECK((!checkpoint || checkpoint->warning.empty()));
  for (const char* name : {"model.safetensors", "surgery.safetensors"}) {
    if (std::filesystem::exists(job.out / name)) CHECK_NOTHROW(io::read_safetensors(job.out / name));
  }
}

}  // namespace

TEST_CASE("training, compression and export that are killed anywhere, also inside of a write, end with the same bytes", "[night]") {
  const char* chosen = std::getenv("HINGE_KILL_SEED");
  const std::uint64_t seed = chosen != nullptr ? std::stoull(chosen) : 8;
#if defined(__SANITIZE_ADDRESS__)
  const int usual = 5;
#else
  const int usual = 20;
#endif
  const int wanted = long_tests() ? 200 : usual;
  Dice dice(seed);
  const TinyBench b(12);
  const auto at = [&](const std::string& name) { return Path(b.at(name)); };
  const std::vector<std::string> common = {"--data", "cifar10", "--data-dir", b.data, "--held-out", "12", "--batch", "8", "--epochs", "2", "--checkpoint-every", "2", "--seed", "3"};
  std::vector<Job> jobs = {{"train", {"train", "--model", "resnet8", "--tensorboard", "--ema", "0.9"}, {}},
                           {"compress", {"compress", "--weights", b.weights, "--search-epochs", "2", "--check-every", "3", "--target", "flops=0.6"}, {}},
                           {"export", {"export", "--weights", b.weights, "--format", "onnx"}, {}, false}};
  std::map<std::string, std::string> whole;
  std::map<std::string, double> length;
  for (Job& job : jobs) {
    if (job.resumable) job.first.insert(job.first.end(), common.begin(), common.end());
    job.out = at("whole " + job.name);
    const auto start = std::chrono::steady_clock::now();
    const Outcome outcome = run_hinge(job.arguments());
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
    length[job.name] = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    whole[job.name] = job.bytes();
    if (job.resumable) job.first.insert(job.first.end(), {"--conv-choices", (job.out / "conv_choices.json").string()});
  }

  std::map<std::string, int> kills;  // that hit, by kind
  int hit = 0, runs = 0, in_files = 0;
  for (; hit < wanted && runs < 10 * wanted; ++runs) {
    Job job = jobs[static_cast<std::size_t>(runs) % jobs.size()];
    const std::string folder = fmt::format("run {}", runs);
    job.out = at(folder);
    std::filesystem::create_directories(at(folder).parent_path());
    std::string story = fmt::format("seed {}, run {}, {}:", seed, runs, job.name);
    int code = -1;
    for (int attempt = 0; code != 0 && attempt < 50; ++attempt) {
      const bool last = attempt >= 6 || hit >= wanted;
      const Kill kill = last ? Kill{} : random_kill(dice, length[job.name]);
      code = last ? wait_for(start_hinge(job.arguments(), at("log"))) : run_until(job, kill, at("log"));
      const bool was_killed = code == 128 + kill.signal || code == 130;
      if (was_killed) ++hit, ++kills[job.name], in_files += !kill.fault.empty();
      story += fmt::format(" [{} -> {}]", last ? "to its end" : kill.to_string(), code);
      INFO(story << "\n"
                 << slurp(at("log")));
      REQUIRE((code == 0 || was_killed));
      check_what_is_there(job, whole["export"]);
    }
    INFO(story);
    REQUIRE(code == 0);
    CHECK((job.bytes() == whole[job.name]));
    CHECK(half_written(at("")) == "");
    std::filesystem::remove_all(job.out);
  }
  CHECK(hit >= wanted);
  if (long_tests()) std::cout << fmt::format("{} kills in {} runs, {} inside of the file layer, seed {}; train {}, compress {}, export {}\n", hit, runs, in_files, seed, kills["train"], kills["compress"], kills["export"]);
}
