// Scores of every group of a structure, at random in (0.01, 1).
#pragma once

#include "compress/selection.h"
#include "tests/support/random.h"

namespace hinge::compress {

inline Scores random_scores(const Structure& structure, std::uint64_t seed) {
  Scores scores;
  for (const GroupSet& set : structure.sets) {
    const Tensor random = testing::random_tensor({static_cast<std::int64_t>(set.size())}, seed++, 0.01f, 1.0f);
    scores.emplace_back(random.values().begin(), random.values().end());
  }
  return scores;
}

}  // namespace hinge::compress
