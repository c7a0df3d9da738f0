// The step of SGD for all parameters of a network in one launch: a table of parameters, cut into chunks of equal work.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/sgd.h"
#include "kernels/simt/memory.h"

namespace hinge::kernels {

struct SgdParameter {
  float* weight = nullptr;
  float* velocity = nullptr;
  const float* gradient = nullptr;
  std::int64_t size = 0;
};

struct SgdChunk {
  SgdParameter part;  // already moved to the chunk
  int parameter = 0;
};

// Pointers to GPU memory, as the kernel takes them.
struct SgdTable {
  const SgdChunk* chunks = nullptr;
  const SgdOptions* options = nullptr;  // [parameters]
  int chunk_count = 0;
};

class SgdTables {
 public:
  SgdTables(const std::vector<SgdParameter>& parameters, simt::NativeStream stream);
  // One per parameter; queued on the stream, read by the next launch.
  void set_options(const std::vector<SgdOptions>& options);
  const SgdOptions* options() const { return options_.data(); }
  SgdTable table() const { return {chunks_.data(), options_.data(), static_cast<int>(chunks_.size())}; }

 private:
  simt::NativeStream stream_;
  simt::Buffer<SgdChunk> chunks_;
  simt::Buffer<SgdOptions> options_;
};

namespace cuda {
void sgd_step_all(const SgdTable& table, simt::NativeStream stream);
}

}  // namespace hinge::kernels
