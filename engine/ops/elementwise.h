// ReLU, with and without a ceiling, addition, dropout.
#pragma once

#include "engine/autograd/node.h"

namespace hinge {

// y = max(0, x), elementwise.   dx = dy where y > 0
Tensor relu(const Tensor& x, const Stream& stream);

// y = min(max(0, x), ceiling), elementwise, ceiling > 0.   dx = dy where 0 < y < ceiling
Tensor capped_relu(const Tensor& x, float ceiling, const Stream& stream);

// y = a + b, equal shapes.
Tensor add(const Tensor& a, const Tensor& b, const Stream& stream);

struct DropoutOptions {
  float rate = 0.5f;  // share of elements set to zero, in [0, 1)
  std::uint64_t seed = 0;
  std::uint64_t step = 0;        // the training step: another mask for each
  std::uint32_t layer = 0;       // another mask for each layer
  std::int64_t first_image = 0;  // number of x's first image in the whole batch, where x is a part of it
};
// y = x / (1 - rate) where kept, else 0: a pure function of the options (Srivastava et al., JMLR 2014).
Tensor dropout(const Tensor& x, const DropoutOptions& options, const Stream& stream);

}  // namespace hinge
