// What one group more would cost behind a selection: how far below its target a budget may end.
#pragma once

#include <algorithm>

#include "compress/budget.h"

namespace hinge::compress {

// MACs of the dearest group that could still be kept, over all sets.
inline std::int64_t dearest_group(const Budget& budget, const Selection& selection) {
  std::vector<std::int64_t> counts;
  for (const auto& kept : selection.kept) counts.push_back(static_cast<std::int64_t>(kept.size()));
  std::int64_t dearest = 0;
  for (std::size_t s = 0; s < counts.size(); ++s) {
    if (counts[s] == budget.groups(s)) continue;
    std::vector<std::int64_t> more = counts;
    ++more[s];
    dearest = std::max(dearest, budget.size(more).cost.macs - selection.size.cost.macs);
  }
  return dearest;
}

}  // namespace hinge::compress
