// What --target asks for, and whether it can be had.
#pragma once

#include <string>
#include <vector>

#include "compress/selection.h"

namespace hinge::cli {

// Targets from e.g. {"flops=0.8", "0.5", "params=0.6"}: parts with a name start a constraint, bare numbers after
// "flops=" are further points of a path. Shares in (0, 1]; bytes as 2000000, 500kB, 2MB, 1.5MiB; latency as a share or as
// 3.1ms. Returned from the largest to the smallest. Throws UsageError.
std::vector<compress::Target> parse_targets(const std::vector<std::string>& parts, Count count);

// "macs" or "reference".
Count count_of(const std::string& name);

// Throws UsageError, with the reachable range, where every set at its minimum is still larger than `target`.
void check_reachable(const compress::Target& target, const compress::Budget& budget, const compress::SelectionOptions& options);

}  // namespace hinge::cli
