// Softmax cross-entropy with label smoothing and distillation: loss and gradient in one pass over the logits.
//
//   x : [rows, K] logits      t : [rows] labels      v : [rows, K] the teacher's logits (or null)
//   q[k] = (1 - smoothing) [k = t] + smoothing / K
//   CE   = -sum_k q[k] log softmax(x)[k]
//   KL   = sum_k softmax(v/T)[k] (log softmax(v/T)[k] - log softmax(x/T)[k])
//   loss = (1 - weight) CE + weight T^2 KL              (weight = 0 without a teacher)
//   dx   = ((1 - weight) (softmax(x) - q) + weight T (softmax(x/T) - softmax(v/T))) / rows
//
// Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015; Szegedy et al. (2016) for smoothing.
#pragma once

#include <cstdint>

namespace hinge::kernels {

struct LossShape {
  std::int64_t rows = 0, k = 0;
  float label_smoothing = 0.0f;
  float distillation_weight = 0.0f;
  float temperature = 1.0f;
};

// Writes each row's loss to `losses` [rows] and, unless null, the gradient of the mean loss to dx.
struct SoftmaxLoss {
  static constexpr const char* kName = "softmax cross-entropy";
  using Signature = void(const LossShape&, const float* logits, const std::int32_t* labels,
                         const float* teacher_logits, float* losses, float* dx);
};

// mean[0] = sum of values / size, summed in double in an order that depends on the size alone; size > 0.
struct MeanValue {
  static constexpr const char* kName = "mean";
  using Signature = void(std::int64_t size, const float* values, float* mean);
};

// correct[0] and correct[1]: rows whose label is among the 1 and the 5 largest logits. A logit equal to the
// label's counts as larger when its index is smaller; a NaN in a row makes the row wrong.
struct TopK {
  static constexpr const char* kName = "top-k";
  using Signature = void(std::int64_t rows, std::int64_t k, const float* logits,
                         const std::int32_t* labels, std::int64_t* correct);
};

}  // namespace hinge::kernels
