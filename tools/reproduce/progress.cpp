#include "tools/reproduce/progress.h"

#include "engine/core/error.h"
#include "engine/io/file.h"

namespace hinge::reproduce {

JobProgress progress_of(const Job& job) {
  JobProgress progress;
  if (!std::filesystem::exists(job.folder / "config.json")) return progress;
  progress.state = std::filesystem::exists(job.folder / "result.json") ? State::kDone : State::kBegun;
  const std::filesystem::path file = job.folder / "metrics.jsonl";
  if (!std::filesystem::exists(file)) return progress;
  const std::string text = io::read_file(file);
  for (std::size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const nlohmann::json line = nlohmann::json::parse(text.substr(begin, end - begin), nullptr, false);
    if (!line.is_object() || !line.contains("seconds") || !line["seconds"].is_number()) continue;
    ++progress.epochs;
    progress.seconds += line["seconds"].get<double>();
  }
  return progress;
}

Outlook outlook_of(const std::vector<Job>& jobs, const std::vector<JobProgress>& progress) {
  require(jobs.size() == progress.size(), "outlook: {} runs, {} states", jobs.size(), progress.size());
  struct Sum {
    double seconds = 0.0;
    int epochs = 0;
  };
  std::map<std::string, Sum> of_network;
  Sum all;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    for (Sum* sum : {&of_network[jobs[i].network], &all}) sum->seconds += progress[i].seconds, sum->epochs += progress[i].epochs;
  }
  Outlook outlook;
  double seconds = 0.0;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (progress[i].state == State::kDone) {
      ++outlook.done;
      continue;
    }
    ++outlook.left;
    const Sum& own = of_network[jobs[i].network];
    const Sum& known = own.epochs > 0 ? own : all;
    if (known.epochs > 0) seconds += std::max(0, jobs[i].epochs - progress[i].epochs) * known.seconds / known.epochs;
  }
  if (all.epochs > 0) outlook.seconds = seconds;
  return outlook;
}

}  // namespace hinge::reproduce
