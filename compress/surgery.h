// Carrying out a plan: the masked network, the physically smaller one, and the proof that they compute the same.
#pragma once

#include "compress/plan.h"
#include "engine/autograd/node.h"

namespace hinge::compress {

// [unit]: does the plan remove it? Carriers count as removed.
std::vector<bool> removed_units(const std::vector<SetEdit>& sets, const Structure& structure);

// Sets the slices of all removed groups to zero, in place. `network` is the one with the pairs.
void mask_groups(const std::vector<SetEdit>& sets, const Structure& structure, Network& network);
void mask(const CompressionPlan& plan, const Structure& structure, Network& network);

// The smaller network: it computes what the masked one does in inference. Removed channels are cut out of every tensor
// that knows them, what they leave behind is folded (constants.h), merged layers become one convolution W A.
// Changes nothing of `attached`; decides nothing.
Network apply(const CompressionPlan& plan, const Structure& structure, const Network& attached);

// `network` without the channels of the units marked in `gone`. Every reader must ignore them already.
Network without_units(const Network& network, const ChannelUnits& units, const std::vector<bool>& gone);

// How far two networks are apart on the same images, in inference, over all outputs.
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
