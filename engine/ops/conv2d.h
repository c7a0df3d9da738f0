// Two-dimensional convolution.
#pragma once

#include "engine/autograd/node.h"

namespace hinge {

struct Conv2dOptions {
  int stride = 1;
  int padding = 0;
  int groups = 1;
};

// x : [N, H, W, C], w : [K, R, S, C/groups], b : [K] or undefined  ->  y : [N, P, Q, K]
//   y[n,p,q,k] = b[k] + sum_{r,s,c} w[k,r,s,c] x[n, p*stride - padding + r, q*stride - padding + s, c]
// Throws Error where ranks or extents do not fit.
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options,
              const Stream& stream);

}  // namespace hinge
