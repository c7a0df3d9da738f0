// A linear (fully connected) layer.
#pragma once

#include "engine/autograd/node.h"

namespace hinge {

// x : [N, C], w : [K, C], b : [K] or undefined  ->  y : [N, K],   y = x w^T + b
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b, const Stream& stream);

}  // namespace hinge
