// Measure once, then keep: which of several implementations runs for a key.
//
// The first call for a key times every candidate on the caller's own operands (two warm runs, then the best of
// three) and keeps the fastest. Recorded choices (set_conv_choices) are taken without measuring, so a resumed or
// repeated run makes the same ones. Where a recorded form does not exist, the first that does is taken, also without
// measuring, so that at least this machine repeats itself; it is said once and recorded instead.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/conv2d.h"

namespace hinge::kernels::cpu {

template <class Runner>
struct Candidate {
  std::string name;
  std::function<Runner()> make;  // an empty Runner where the implementation does not exist
};

// What is known about choices, apart from the runners themselves.
struct ChoiceRecord {
  std::mutex mutex;
  ConvChoices choices;
  std::string forced;
  std::function<void()> drop_runners;
  std::uint64_t version = 0;                        // conv_choices_version()
  std::function<void(const std::string&)> missing;  // null: standard error
};
ChoiceRecord& choice_record();
// Says that `key` was recorded as `wanted` and runs as `used`. The record's mutex is held.
void say_missing(const ChoiceRecord& record, const std::string& key, const std::string& wanted, const std::string& used);

template <class Runner>
class ChoiceCache {
 public:
  const Runner& get(const std::string& key,
                    const std::function<std::vector<Candidate<Runner>>()>& candidates,
                    const std::function<void(const Runner&)>& try_out) {
    ChoiceRecord& record = choice_record();
    std::lock_guard lock(record.mutex);
    if (auto known = runners_.find(key); known != runners_.end()) return known->second;
    record.drop_runners = [this] { runners_.clear(); };
    std::string wanted = record.forced;
    const auto chosen = record.choices.find(key);
    const bool recorded = chosen != record.choices.end();
    if (recorded) wanted = chosen->second;
    Runner best;
    std::string best_name;
    double best_seconds = 1e300;
    for (Candidate<Runner>& candidate : candidates()) {
      Runner runner = candidate.make();
      if (!runner) continue;
      if (candidate.name == wanted) {
        best = std::move(runner), best_name = candidate.name;
        break;
      }
      const double seconds = wanted.empty() ? time(runner, try_out) : 1e299;
      if (!best || seconds < best_seconds) {
        best = std::move(runner), best_name = candidate.name, best_seconds = seconds;
      }
    }
    if (!best) throw std::runtime_error("conv2d: no implementation for " + key);
    if (recorded && best_name != wanted) say_missing(record, key, wanted, best_name);
    record.choices[key] = best_name;
    return runners_.emplace(key, std::move(best)).first->second;
  }

 private:
  static double time(const Runner& runner, const std::function<void(const Runner&)>& try_out) {
    double best = 1e300;
    for (int repeat = 0; repeat < 5; ++repeat) {
      const auto start = std::chrono::steady_clock::now();
      try_out(runner);
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      if (repeat >= 2) best = std::min(best, elapsed.count());
    }
    return best;
  }

  std::unordered_map<std::string, Runner> runners_;
};

template <class Runner>
ChoiceCache<Runner>& conv_choice_cache() {
  static ChoiceCache<Runner> cache;
  return cache;
}

}  // namespace hinge::kernels::cpu
