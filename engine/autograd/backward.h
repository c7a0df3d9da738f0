// Reverse-mode differentiation over the tape.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "engine/autograd/node.h"

namespace hinge {

// d loss / d leaf for each of `leaves` (tensors made by make_leaf), zeros where the loss does not depend on one.
// `loss` has one element. The tape is used up: each node lets go of what it saved as soon as it has run, so the
// memory of activations falls while the gradients come in. Addition of gradients is in a fixed order.
std::vector<Tensor> gradients(const Tensor& loss, std::span<const Tensor> leaves,
                              const Stream& stream);

struct BackwardOptions {
  float seed = 1.0f;  // d / d loss that the tape starts from: gradients are this times as large
  // Called as soon as nothing can be added to the gradient of leaves[i] any more, the last layers' first; not for leaves that
  // the loss doesn't depend on. In the same order for the same tape.
  std::function<void(std::size_t i, const Tensor& gradient)> ready = {};
};
std::vector<Tensor> gradients(const Tensor& loss, std::span<const Tensor> leaves, const BackwardOptions& options, const Stream& stream);

}  // namespace hinge
