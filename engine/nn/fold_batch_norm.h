// Inference with fewer operations: BatchNorm goes into the layer in front of it.
//
//   scale[k] = gamma[k] / sqrt(var[k] + epsilon)
//   w'[k]    = scale[k] w[k]
//   b'[k]    = scale[k] (b[k] - mean[k]) + beta[k]
#pragma once

#include "engine/nn/network.h"

namespace hinge {

// A network that computes what `network` does in inference, up to rounding. A BatchNorm is folded where it alone reads
// a convolution or linear layer, and neither shares its weights; others (DenseNet's and pre-activation ResNets', which
// come before the convolution) stay. Layers keep their names and gain a bias.
Network fold_batch_norm(const Network& network);

}  // namespace hinge
