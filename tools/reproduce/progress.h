// How far a list of runs has come, and how long the rest will take: from the folders alone.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tools/reproduce/jobs.h"

namespace hinge::reproduce {

enum class State { kNew,
                   kBegun,
                   kDone };

struct JobProgress {
  State state = State::kNew;
  int epochs = 0;        // finished
  double seconds = 0.0;  // that they took
};
// From config.json, metrics.jsonl and result.json; a folder without config.json is a new run's. A last line of metrics.jsonl
// that was cut off is left out: the run rewinds it.
JobProgress progress_of(const Job& job);

struct Outlook {
  int done = 0, left = 0;
  std::optional<double> seconds;  // of what is left; nothing while no epoch of anything has finished
};
// An epoch of a network takes what its finished epochs took on average; one of which none is finished, the mean of the others.
Outlook outlook_of(const std::vector<Job>& jobs, const std::vector<JobProgress>& progress);

}  // namespace hinge::reproduce
