// Losses of a classifier, and its score.
#pragma once

#include "engine/autograd/node.h"

namespace hinge {

struct LossOptions {
  float label_smoothing = 0.0f;      // in [0, 1)
  float distillation_weight = 0.0f;  // in [0, 1]: share of the teacher's term
  float temperature = 4.0f;          // > 0, of the teacher's term
};

// logits : [N, K], labels : [N] int32 in [0, K), teacher_logits : [N, K] or undefined  ->  mean loss, [1]
//   loss = (1 - a) CE(smoothed labels) + a T^2 KL(softmax(teacher/T) || softmax(logits/T)),  a = distillation_weight
// `a` counts only with a teacher. Hinton, Vinyals & Dean (2015).
Tensor classification_loss(const Tensor& logits, const Tensor& labels, const Tensor& teacher_logits,
                           const LossOptions& options, const Stream& stream);

// Throws Error unless all of `labels`, on the CPU, are in [0, classes). The functions here call it for labels on the
// CPU; whoever copies labels to a GPU calls it before.
void check_labels(const Tensor& labels, std::int64_t classes);

// Images whose label is among the 1 and the 5 largest logits: int64 [2], on the stream's device.
Tensor top_counts(const Tensor& logits, const Tensor& labels, const Stream& stream);

struct Score {
  std::int64_t images = 0;
  std::int64_t top1 = 0, top5 = 0;  // images whose label is among the 1 or 5 largest logits
  double cross_entropy_sum = 0.0;

  Score& operator+=(const Score& other);
  double top1_error() const;  // per cent
  double top5_error() const;  // per cent
  double cross_entropy() const;
};
// No gradients. logits : [N, K], labels : [N] int32
Score score(const Tensor& logits, const Tensor& labels, const Stream& stream);

}  // namespace hinge
