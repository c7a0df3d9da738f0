// Every target on its seeds, on what was once found to break it, and on changes of both. libFuzzer's runs are tools/dev/fuzz.sh's.
//
// HINGE_FUZZ_INPUTS   changed inputs a target (500), or
// HINGE_FUZZ_SECONDS  as many as a target gets done in that time; with both, what comes first
// HINGE_FUZZ_SEED     others than last time (20)
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "tests/fuzz/memory.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/target.h"
#include "tests/support/catch.h"
#include "tests/tools/process.h"

using namespace hinge;
using namespace hinge::fuzz;

namespace {

struct Input {
  std::string file, bytes;
};

std::vector<Input> corpus_of(const Target& target) {
  std::vector<Input> inputs;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(HINGE_SOURCE_DIR "/tests/fuzz/corpus/") + target.name)) {
    inputs.push_back({entry.path().filename().string(), testing::slurp(entry.path())});
  }
  std::ranges::sort(inputs, {}, &Input::file);  // a folder has no order
  return inputs;
}

// "" or what went wrong.
std::string broken_promise(const Target& target, const std::string& bytes) {
  try {
    hold(target, bytes);
  } catch (const std::exception& broken) {
    return broken.what();
  }
  return "";
}

// Where the input is kept for whoever looks into it.
std::string kept(const Target& target, const std::string& bytes) {
  const auto path = std::filesystem::temp_directory_path() / (std::string("hinge-broken-") + target.name);
  std::ofstream(path, std::ios::binary) << bytes;
  return path.string();
}

// How long a target is tried, of the environment.
struct Effort {
  std::int64_t inputs = 500;
  double seconds = 1e9;
  std::uint64_t seed = 20;
  bool asked_for = false;  // by somebody who wants to know what became of it

  static Effort asked() {
    Effort effort;
    const char *inputs = std::getenv("HINGE_FUZZ_INPUTS"), *seconds = std::getenv("HINGE_FUZZ_SECONDS"), *seed = std::getenv("HINGE_FUZZ_SEED");
    if (seconds != nullptr) effort.inputs = INT64_MAX, effort.seconds = std::atof(seconds);
    if (inputs != nullptr) effort.inputs = std::atoll(inputs);
    if (seed != nullptr) effort.seed = std::strtoull(seed, nullptr, 10);
    effort.asked_for = inputs != nullptr || seconds != nullptr;
    return effort;
  }
};

double seconds_since(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - then).count();
}

}  // namespace

TEST_CASE("every input that was kept is taken or refused as promised, and what is called seed is taken") {
  REQUIRE(targets().size() == 13);
  for (const Target& target : targets()) {
    const std::vector<Input> corpus = corpus_of(target);
    CHECK(std::ranges::any_of(corpus, [](const Input& input) { return input.file.starts_with("seed"); }));
    for (const Input& input : corpus) {
      INFO(target.name << "/" << input.file);
      CHECK(broken_promise(target, input.bytes).empty());
      if (input.file.starts_with("seed")) CHECK(hold(target, input.bytes));
    }
  }
}

TEST_CASE("changed inputs are taken or refused as promised") {
  const Effort effort = Effort::asked();
  for (const Target& target : targets()) {
    const std::vector<Input> corpus = corpus_of(target);
    std::mt19937_64 random(effort.seed);
    const auto begun = std::chrono::steady_clock::now();
    std::int64_t done = 0;
    for (; done < effort.inputs && seconds_since(begun) < effort.seconds; ++done) {
      const auto any = [&]() -> const std::string& { return corpus[static_cast<std::size_t>(random() % corpus.size())].bytes; };
      const std::string& seed = any();
      const std::string bytes = mutated(seed, any(), random), broken = broken_promise(target, bytes);
      if (broken.empty()) continue;
      INFO(target.name << ", input " << done << ", kept in " << kept(target, bytes));
      CHECK(broken == "");
    }
    CHECK(done > 0);
    if (!effort.asked_for) continue;
    fmt::print("{:<12} {:>10} inputs, seed {}, {:.0f} s\n", target.name, done, effort.seed, seconds_since(begun));
    std::fflush(stdout);
  }
}

TEST_CASE("a target that breaks a promise is found out") {
  const auto with = [](void (*run)(std::string_view)) { return Target{"planted", "input", 1 << 20, 1, run}; };
  CHECK(broken_promise(with([](std::string_view) {}), "x").empty());
  CHECK(broken_promise(with([](std::string_view) { throw Error("input: too short"); }), "x").empty());
  CHECK_THAT(broken_promise(with([](std::string_view) { throw Error("too short"); }), "x"), testing::contains("doesn't name input"));
  CHECK_THAT(broken_promise(with([](std::string_view) { throw std::out_of_range("at"); }), "x"), testing::contains("at"));
  CHECK_THAT(broken_promise(with([](std::string_view) { promise(false, "all is well"); }), "x"), testing::contains("all is well"));
  const Target outside = with([](std::string_view bytes) { file_of(bytes, "../escaped"); });
  CHECK_THAT(broken_promise(outside, "x"), testing::contains("escaped"));
  std::filesystem::remove(folder() + "/../escaped");
  if (!memory_is_counted()) return;
  CHECK_THAT(broken_promise(with([](std::string_view) { promise(std::vector<char>(3 << 20, 'x').back() == 'x', ""); }), "x"), testing::contains("bytes of memory"));
}
