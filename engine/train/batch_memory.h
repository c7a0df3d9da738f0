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
int batch_that_fits(const Network& network, const OutOfMemory& error, int batch);

// What `error` says, and the batch that would fit in place of `batch` images in `pieces`; or in how many pieces these would.
std::string with_advice(const OutOfMemory& error, const Network& network, int batch, int pieces = 1);

}  // namespace hinge
