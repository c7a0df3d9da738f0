#include "kernels/sgd_table.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace hinge::kernels {
namespace {

// 8 turns of a block of 256 threads with 4 elements each: ResNet-50 makes 3,100 chunks. A multiple of 4 keeps alignment.
constexpr std::int64_t kChunk = 8192;

}  // namespace

SgdTables::SgdTables(const std::vector<SgdParameter>& parameters, simt::NativeStream stream) : stream_(stream) {
  std::vector<SgdChunk> chunks;
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    const SgdParameter& whole = parameters[p];
    for (std::int64_t first = 0; first < whole.size; first += kChunk) {
      chunks.push_back({{whole.weight + first, whole.velocity + first, whole.gradient + first,
                         std::min(kChunk, whole.size - first)},
                        static_cast<int>(p)});
    }
  }
  chunks_ = simt::Buffer<SgdChunk>(chunks, stream);
  options_ = simt::Buffer<SgdOptions>(static_cast<std::int64_t>(parameters.size()), stream);
}

void SgdTables::set_options(const std::vector<SgdOptions>& options) {
  if (static_cast<std::int64_t>(options.size()) != options_.size()) {
    throw std::runtime_error("sgd table: " + std::to_string(options.size()) + " options for " +
                             std::to_string(options_.size()) + " parameters");
  }
  simt::copy_in(options_.data(), options.data(), options.size() * sizeof(SgdOptions), stream_);
}

}  // namespace hinge::kernels
