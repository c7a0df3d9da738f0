// What hinge-bench leaves behind: a table, JSON, a comparison with an older JSON, a roofline.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/bench/measure.h"

namespace hinge::bench {

std::string table_of(const Machine& machine, const std::vector<Timing>& timings);
nlohmann::json json_of(const Machine& machine, const std::vector<Timing>& timings);

// New over old time of the cases that both have. Throws Error naming `origin` if `old` is not such a JSON. A change
// counts where it exceeds both spreads and 3 per cent.
std::string comparison_of(const nlohmann::json& old, const std::string& origin, const std::vector<Timing>& timings);

// Attainable over arithmetic intensity, both logarithmic, with a point per case (Williams, Waterman & Patterson, 2009).
std::string roofline_svg(const Machine& machine, const std::vector<Timing>& timings);

}  // namespace hinge::bench
