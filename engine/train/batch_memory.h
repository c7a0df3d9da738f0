// How much memory a training step takes, measured, and which batch would fit.
#pragma once

#include "engine/core/block_cache.h"
#include "engine/nn/network.h"

namespace hinge {

// A batch below `batch` with which a step of SGD on `network`, where it lies, was seen to fit where one of `batch` ran
// into `error`; 0 where not even one image does. Steps run on a copy, so the network is as before; scratch memory of
// convolutions is not the cache's and not counted.
//
// Two batches that fit give a line (activations grow with the batch, weights don't); where it meets the limit is tried,
// and an eighth less until it fits.
int batch_that_fits(const Network& network, const OutOfMemory& error, int batch, DType activations = DType::kFloat32);

// A step that ran out of memory: this rank's images, in how many pieces, and the number of ranks that have as many.
struct StepSize {
  int images = 1, pieces = 1, ranks = 1;
  DType activations = DType::kFloat32;
};
// What `error` says, the batch of all ranks that would fit in its place, and in how many pieces this one would; a step was seen to
// fit for both. What ranks add up is not counted.
std::string with_advice(const OutOfMemory& error, const Network& network, const StepSize& step);

}  // namespace hinge
