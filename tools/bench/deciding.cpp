// How long it takes to decide: what may be removed from a network, the exact threshold for a target, and surgery.
// Medians over repetitions, as a table for docs/benchmarks/deciding.md. One thread does it all.
#include <algorithm>
#include <chrono>

#include <CLI/CLI.hpp>

#include "compress/surgery.h"
#include "engine/core/error.h"
#include "kernels/philox.h"
#include "models/registry.h"

namespace {

using namespace hinge;
using namespace hinge::compress;

struct Options {
  std::vector<std::string> models = {"resnet20", "resnet164"};
  std::string mode = "auto";
  double flops = 0.5;
  int repeats = 21;
};

struct Times {
  double median = 0.0, least = 0.0;  // milliseconds
};

// The result is kept until the clock has stopped, so that nothing is optimised away and freeing it isn't timed.
template <class Act>
Times measure(int repeats, const Act& act) {
  std::vector<double> times;
  for (int i = 0; i <= repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto result = act();
    const std::chrono::duration<double, std::milli> length = std::chrono::steady_clock::now() - start;
    static_cast<void>(result);
    if (i > 0) times.push_back(length.count());  // the first one warms up
  }
  std::ranges::sort(times);
  return {times[times.size() / 2], times[0]};
}

Scores random_scores(const Structure& structure) {
  Scores scores;
  for (std::size_t s = 0; s < structure.sets.size(); ++s) {
    std::vector<double> of_set;
    for (std::uint64_t g = 0; g < structure.sets[s].size(); ++g) {
      of_set.push_back(static_cast<double>(uniform(random_words(1, RandomUse::kTest, s, g).word[0])));
    }
    scores.push_back(std::move(of_set));
  }
  return scores;
}

void measure_model(const std::string& model, const Options& options) {
  const Graph dense = models::build(model, {});
  const GroupOptions groups{.mode = mode_of(options.mode), .exclude = {}, .residual = false};
  const Structure structure = make_structure(dense, groups);
  const Budget budget(structure);
  Network network(dense);
  initialise(network, 1);
  const Network attached = attach(network, structure.choice.attach, Initialisation::kSvd2).network;
  const Scores scores = random_scores(structure);
  const Target target{.count = Count::kMacs, .flops = options.flops, .parameters = {}, .bytes = {}};
  require(target.met_by(least_size(budget, {}), budget.dense()), "{}: flops={} can't be reached in mode {}", model, options.flops, options.mode);
  const CompressionPlan plan = make_plan(structure, budget, attached, scores, target);

  std::size_t count = 0;
  for (const GroupSet& set : structure.sets) count += set.size();
  const auto row = [&](const char* what, const Times& times) {
    fmt::print("| {} | {} | {:.2f} | {:.2f} |\n", model, what, times.median, times.least);
  };
  fmt::print("| {} | {} nodes, {} units, {} groups in {} sets | | |\n", model, dense.size(), structure.units.count(), count, structure.sets.size());
  row("channel units", measure(options.repeats, [&] { return derive_units(dense); }));
  row("units, groups and pairs", measure(options.repeats, [&] { return make_structure(dense, groups); }));
  row("exact threshold", measure(options.repeats, [&] { return select_groups(budget, scores, target, {}); }));
  row("plan, carriers included", measure(options.repeats, [&] { return make_plan(structure, budget, attached, scores, target); }));
  row("surgery", measure(options.repeats, [&] { return apply(plan, structure, attached); }));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Time to decide what to remove from a network, and to remove it");
  Options options;
  app.add_option("models", options.models, "Networks")->capture_default_str();
  app.add_option("--mode", options.mode)->capture_default_str();
  app.add_option("--flops", options.flops)->capture_default_str();
  app.add_option("--repeats", options.repeats)->check(CLI::Range(1, 100000))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    fmt::print("| network | step | median ms | least ms |\n| --- | --- | --- | --- |\n");
    for (const std::string& model : options.models) measure_model(model, options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "deciding: {}\n", error.what());
    return 1;
  }
}
