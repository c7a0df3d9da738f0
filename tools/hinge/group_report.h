// Every group's score, cost and fate as JSON, and the sentence that tells a person why a layer kept what it kept.
#pragma once

#include <nlohmann/json.hpp>

#include "compress/plan.h"

namespace hinge::cli {

// {"sets": [{"set", "layer", "kind", "norms", "scores", "kept", "carriers", "minimum", "macs_per_group", "parameters_per_group",
//            "form", "bound"}], "refused": [{"layer", "reason"}], "threshold"}
// norms: of the groups before they were removed; scores: what they were ranked by.
// macs_per_group: what the next group removed from this set would save, all else as in the plan.
// bound: what held the number of groups: "threshold", "minimum share", "nothing removed", "merged".
nlohmann::json group_report(const compress::Structure& structure, const compress::Budget& budget, const compress::CompressionPlan& plan,
                            const compress::Scores& norms, const compress::Scores& scores, double minimum_share);

// The lines of `hinge explain` for one layer. Throws UsageError with the nearest layers if there is no such layer.
std::vector<std::string> explain_layer(const nlohmann::json& report, const std::string& layer);

}  // namespace hinge::cli
