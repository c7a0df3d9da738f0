// plan.json: what is taken survives being written, and can be carried out or is refused for a network it isn't about.
#include "compress/plan.h"

#include <nlohmann/json.hpp>

#include "engine/io/json.h"
#include "tests/fuzz/target.h"

using namespace hinge;
using namespace hinge::fuzz;

HINGE_FUZZ_TARGET(plan, "plan", kMiB, 64) {
  const compress::CompressionPlan plan = compress::plan_from_json(io::parse_json(bytes, "plan"));
  for (const compress::SetEdit& edit : plan.sets) {
    promise(edit.groups <= 1 << 24, "a set has no more groups than a graph can have channels");
    if (edit.groups > 4096) continue;  // one list of all groups a set is more than a multiple of a short file
    promise(compress::removed_groups(edit).size() + edit.kept.size() == static_cast<std::size_t>(edit.groups), "a group is kept or removed");
  }
  const std::string text = io::json_text(compress::plan_to_json(plan), "plan");
  promise(io::json_text(compress::plan_to_json(compress::plan_from_json(io::parse_json(text, "plan"))), "plan") == text, "a plan survives being written");
  compress::check_plan(plan, compress::Structure{});
}
