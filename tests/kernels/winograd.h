// Winograd's (Toom and Cook's) convolution with 3x3 filters on 4x4 tiles, in float64: what float32 transforms may err by.
//
//   A : [6, 4]   G : [6, 3]   B : [6, 6]     one row per interpolation point
//   y = A^T [ sum_c (G w_c G^T) * (B^T x_c B) ] A        for every 4x4 tile of y and its 6x6 tile of x
//
// Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), with the points 0, +-5/8, +-3/2 and
// infinity, which keep the matrices' entries small. Computed with |x|, |w|, |A|, |G| and |B| the result is the sum of
// the absolute values of all terms that make up an element, and that is what rounding errors are relative to
// (Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution", 2020, theorem 1): the same
// measure as sum |x||w| for direct convolution, but larger, because the terms cancel.
#pragma once

#include "kernels/conv2d.h"
#include "tests/support/reference.h"

namespace hinge::testing {

enum class Terms { kSigned,
                   kAbsolute };

// x [N, H, W, C], w [K, 3, 3, C] -> y [N, P, Q, K]; stride 1, one group.
Array winograd_forward(const Array& x, const Array& w, int padding, Terms terms);
// dy [N, P, Q, K], w [K, 3, 3, C] -> dx [N, H, W, C]: the same with turned filters.
Array winograd_backward_data(const Array& dy, const Array& w, int padding, Terms terms);
// x, dy -> dw [K, 3, 3, C]: a 4x4 tile of dy is the filter, dw the 3x3 result.
Array winograd_backward_weights(const Array& x, const Array& dy, int padding, Terms terms);

}  // namespace hinge::testing
