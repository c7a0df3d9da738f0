#include "kernels/sgd_table.h"

#include <stdexcept>
#include <string>

namespace hinge::kernels {
SgdTables::SgdTables(const std::vector<SgdParameter>& parameters, simt::NativeStream stream) : stream_(stream) {
  chunks_ = simt::Buffer<SgdChunk>(sgd_chunks(parameters), stream);
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
