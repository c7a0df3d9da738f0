// What --target asks for, and whether it can be had.
#pragma once

#include <string>
#include <vector>

#include "engine/graph/cost.h"

namespace hinge::cli {

// The share of FLOPs to keep from e.g. {"flops=0.5"}: in (0, 1]. Throws UsageError.
double parse_flops_target(const std::vector<std::string>& target);

// "macs" or "reference".
Count count_of(const std::string& name);

// Throws UsageError, with the reachable range, where every layer at its minimum still costs more than `target`.
void check_reachable(double target, const Graph& dense, const std::vector<std::string>& layers, Count count,
                     double minimum_share);

}  // namespace hinge::cli
