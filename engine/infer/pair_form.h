// How a low-rank pair runs on a GPU: as one kernel, as two convolutions of the library with an end each, or multiplied out.
//
// One kernel spares the rank's values the way through memory; the library's convolutions may be faster nevertheless where
// they have more to multiply than to move; and where channels are few, one convolution with all of them may be faster than either, if
// nothing is clamped between the halves (engine/nn/merge_pair.h). Which it is, is measured when a shape is first seen, and kept with the choices of
// convolutions (kernels/conv2d.h), so that a run that has another's choices makes its bytes.
#pragma once

#include <string>

#include "engine/core/tensor.h"
#include "kernels/low_rank_pair.h"

namespace hinge {

enum class PairForm { kMeasured,  // whichever of the others is faster
                      kFused,     // where can_fuse() says that it exists, else kTwoCalls
                      kTwoCalls,
                      kMerged };     // where nothing is clamped between, else kTwoCalls
const char* name_of(PairForm form);  // "measured", "fused", "two calls", "merged"

// The one convolution that a pair multiplied out is.
kernels::ConvShape merged_shape(const kernels::LowRankPairShape& shape);

// Floats that run_pair() needs beside its operands: the rank's values, if they have to go through memory.
std::int64_t scratch_floats(PairForm form, const kernels::LowRankPairShape& shape);
// `form` is kFused or kTwoCalls. scratch and y lie on the stream's device as the operands do.
void run_pair(PairForm form, const kernels::LowRankPairShape& shape, const kernels::LowRankPairOperands& operands, float* scratch, float* y,
              const Stream& stream);

// What `wanted` is for this shape on `device`. kMeasured takes the recorded choice, or measures and records it: with tensors of
// its own, as captured graphs or eagerly, the way in which the pair will run. Not while a graph is captured.
PairForm choose_pair_form(PairForm wanted, const kernels::LowRankPairShape& shape, bool residual, bool as_graph, Device device);

// Seconds that a pair without a residual takes as a captured pair, the faster of kFused and kTwoCalls, on operands of its own.
double measure_pair(const kernels::LowRankPairShape& shape, Device device);

}  // namespace hinge
