#include <algorithm>

#include "kernels/sgd_table.h"

namespace hinge::kernels {

std::vector<SgdChunk> sgd_chunks(std::span<const SgdParameter> parameters) {
  std::vector<SgdChunk> chunks;
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    const SgdParameter& whole = parameters[p];
    for (std::int64_t first = 0; first < whole.size; first += kSgdChunk) {
      chunks.push_back({{whole.weight + first, whole.velocity + first, whole.gradient + first,
                         std::min(kSgdChunk, whole.size - first)},
                        static_cast<int>(p)});
    }
  }
  return chunks;
}

}  // namespace hinge::kernels
