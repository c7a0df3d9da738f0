// The step of SGD for all parameters of a network in one launch: a table of parameters, cut into chunks of equal work.
#pragma once

#include <cstdint>
#include <span>
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

// Cut so that every chunk but a parameter's last is the same work for a block. 8 turns of 256 threads with 4 elements
// each: ResNet-50 makes 3,100 chunks. A multiple of 4 keeps alignment.
inline constexpr std::int64_t kSgdChunk = 8192;
std::vector<SgdChunk> sgd_chunks(std::span<const SgdParameter> parameters);

// The step of all parameters in one launch; the table and what it points to lie where the kernel runs.
struct SgdStepAll {
  static constexpr const char* kName = "sgd of all parameters";
  using Signature = void(const SgdTable&);
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

}  // namespace hinge::kernels
