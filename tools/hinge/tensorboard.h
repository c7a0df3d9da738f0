// Event files for TensorBoard (--tensorboard): the numbers of metrics.jsonl as scalars. One record says the format's version, then
// one follows per line of metrics.
//
//   Event          1: wall time (double)   2: step   3: version (text)   5: Summary
//   Summary.value  1: tag (text)           2: value (float)               tensorflow/core/framework/summary.proto
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace hinge::cli {

inline constexpr const char* kEventsFile = "events.out.tfevents.hinge";

struct Scalar {
  std::string tag;  // "finetune/held_out/top1_error"
  double value = 0.0;
  bool operator==(const Scalar&) const = default;
};
// Every number of a line of metrics but its phase and epoch, which are the tags' first part and the step.
std::vector<Scalar> scalars_of(const nlohmann::json& line);

// Whole records, to be appended. `seconds` since 1970.
std::string version_record(double seconds);
std::string scalars_record(const nlohmann::json& line, double seconds);

}  // namespace hinge::cli
