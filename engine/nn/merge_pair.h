// A low-rank pair multiplied out: the one convolution that computes what a thin convolution and the 1x1 convolution behind it do.
//
//   u : [rank, R, S, C]   b : [rank]   v : [K, 1, 1, rank]   d : [K]        w : [K, R, S, C]
//   w[k] = sum_m v[k,m] u[m]        bias[k] = d[k] + sum_m v[k,m] b[m]
#pragma once

#include "engine/core/tensor.h"

namespace hinge {

// w of u and v, summed in double precision. On the CPU. Throws Error unless the shapes go with each other.
Tensor merge_pair(const Tensor& u, const Tensor& v);
// The bias, where there is any: b or d may be undefined, and so is the result if both are.
Tensor merge_pair_bias(const Tensor& b, const Tensor& v, const Tensor& d);

}  // namespace hinge
