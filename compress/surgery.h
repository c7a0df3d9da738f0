// Carrying out a plan: the masked network, the physically smaller one, and the proof that they compute the same.
#pragma once

#include "compress/plan.h"
#include "engine/autograd/node.h"

namespace hinge::compress {

// Sets the rows of A that the plan removes to zero, in place. `network` is the one with the pairs.
void mask(const CompressionPlan& plan, const std::vector<FactorPair>& pairs, Network& network);

// The smaller network: removed filters and rows are cut out of the tensors, merged layers become one convolution
// W A. Changes nothing of `attached`; decides nothing.
Network apply(const CompressionPlan& plan, const std::vector<FactorPair>& pairs, const Network& attached);

// How far two networks are apart on the same images, in inference.
struct Proof {
  std::int64_t images = 0;
  double largest_difference = 0.0;  // of any logit
  double largest_logit = 0.0;       // in magnitude, of the first network
  double relative() const { return largest_logit > 0.0 ? largest_difference / largest_logit : largest_difference; }
};
inline constexpr double kProofBound = 1e-4;  // relative, float32

// Adds the images [N, H, W, C] to the proof. NaN anywhere makes the difference NaN.
void extend_proof(Proof& proof, Network& masked, Network& shrunken, const Tensor& images, const Stream& stream);

}  // namespace hinge::compress
