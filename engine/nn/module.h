// What can be trained: something with a forward function and named parameters.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace hinge {

class ProcessGroup;

enum class ParameterKind { kConvWeight,
                           kLinearWeight,
                           kBias,
                           kNormScale,
                           kNormShift };

// A named weight. The scales multiply the optimiser's rate and decay for this parameter alone.
struct Parameter {
  std::string name;
  ParameterKind kind;
  Tensor value;  // a leaf: gradients can be asked for with respect to it
  float rate_scale = 1.0f;
  float decay_scale = 1.0f;
};

// Named state that no gradient reaches: running statistics.
struct Buffer {
  std::string name;
  Tensor value;
};

struct ForwardOptions {
  bool training = false;                   // batch statistics, dropout
  std::uint64_t seed = 0;                  // of dropout
  std::uint64_t step = 0;                  // the training step, for dropout
  std::int64_t first_image = 0;            // number of x's first image in the whole batch, where x is a rank's part of it
  DType activations = DType::kFloat32;     // or kBfloat16, on a GPU: what layers put out and convolutions multiply; linear layers stay F32
  ProcessGroup* normalize_over = nullptr;  // BatchNorm's statistics are those of all ranks' images
};

class Module {
 public:
  virtual ~Module() = default;
  virtual Tensor forward(const Tensor& x, const ForwardOptions& options, const Stream& stream) = 0;
  // In a stable order; pointers stay valid as long as the module.
  virtual std::vector<Parameter*> parameters() = 0;
  virtual std::vector<Buffer*> buffers() = 0;
};

}  // namespace hinge
