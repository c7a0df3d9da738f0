// How long, and with which settings, the rows of the paper's tables are made: compress/schedules, or a user's own file.
//
//   {"about": "...", "recipe": false, "baseline": {"epochs": 200, ...}, "compress": {"search-epochs": 10, "epochs": 290, ...}}
//
// `baseline` are options of `hinge train`, `compress` of `hinge compress`. With "recipe": true the row's recipe gives the other
// options; else it gives only what is to be reached (target, how it is counted, what may go).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace hinge::reproduce {

struct Schedule {
  std::string name, about;
  bool recipe = false;
  nlohmann::json baseline, compress;
};
// Throws UsageError on an unknown name (with the known ones), Error on a file that is no schedule.
Schedule schedule_of(const std::string& name_or_file);
std::vector<std::string> schedule_names();

}  // namespace hinge::reproduce
