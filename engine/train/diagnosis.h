// The thorough search behind a loss that isn't finite: which number of the step was the first to go wrong.
#pragma once

#include <span>

#include "engine/core/finite.h"
#include "engine/nn/network.h"

namespace hinge {

// One step, as it was when something in it wasn't finite.
struct StepUnderSuspicion {
  Tensor images;                      // [N, H, W, C]
  double loss = 0.0;                  // what it came to
  std::span<const Tensor> gradients;  // in the order of network.parameters(); empty where there are none
  Network* teacher = nullptr;         // whose opinion was in the loss
  ForwardOptions forward;             // as the step had them
};

// The first number that isn't finite, in the order in which a step makes them: images, weights, what each layer puts
// out, the teacher's logits, the loss, gradients. A second forward pass keeps every layer's output, so it takes as much
// memory as a step; it runs on a copy, and the network's running statistics are as before. The loss itself where
// everything else is finite (an overflow inside of it).
NotFinite first_to_go_wrong(Network& network, const StepUnderSuspicion& step, const Stream& stream);

// Throws NotFiniteError if a weight or a running statistic isn't finite.
void require_finite(const Network& network);

}  // namespace hinge
