// The parts of a report, each from plain data to HTML; a part without data is "".
#pragma once

#include <string>
#include <vector>

#include "tools/report/run.h"

namespace hinge::report {

// The run's name for people: "resnet20 on cifar10".
std::string title_of(const Run& run);
// Its folder's last name, or what tells it apart in a comparison.
std::string short_name(const Run& run);

std::string headline_section(const Run& run);
std::string trade_off_section(const std::vector<Run>& runs);
std::string budget_section(const Run& run);
std::string layers_section(const Run& run);
std::string times_section(const Run& run);  // per layer, before and after
std::string training_section(const Run& run);
std::string histogram_section(const Run& run);
std::string proof_section(const Run& run);
std::string origin_section(const Run& run);  // environment and command
// One row per network of every run: what was compressed, and the controls.
std::string comparison_section(const std::vector<Run>& runs);

}  // namespace hinge::report
