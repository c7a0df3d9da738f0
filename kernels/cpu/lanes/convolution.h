// What the forms of a convolution share.
#pragma once

#include <vector>

#include "kernels/cpu/lanes/product.h"
#include "kernels/lanes.h"

namespace hinge::kernels::lanes {

// Equal parts that a convolution in Winograd's form is cut into for `count` threads.
template <class Element>
std::int64_t winograd_parts(const ConvSpec& spec, std::int64_t count);

// Of Winograd's form: elements that it needs beside its operands.
template <class Element>
std::int64_t winograd_scratch(const ConvSpec& spec);
// w : [K, 3, 3, C] -> its 36 transforms, each packed as filters are.
template <class Element>
std::vector<float> pack_winograd(const ConvSpec& spec, const float* w);

// Shares are of rows of tiles, or of blocks of filters where there are more of those and too few rows.
template <class Element>
void run_winograd(const Convolution::Parts& conv, const Element* x, const Element* residual, Element* y, Element* scratch, Share share);

template <class Element>
void run_direct(const Convolution::Parts& conv, const Element* x, const Element* residual, Element* y, Element* scratch, Rows rows);

// Of all taps of all pixels, the part that lies inside the picture.
double share_inside(const ConvSpec& s);
// Equal parts that the clipped form is cut into: blocks of filters where there are more of them than rows.
template <class Element>
std::int64_t clipped_parts(const ConvSpec& spec);
template <class Element>
void run_clipped(const Convolution::Parts& conv, const Element* x, const Element* residual, Element* y, Element* scratch, Share share);

// Rows [begin, end) of x, counted with the border of zeros that the result has: no pixel needs to know where the
// picture ends. Returns `padded`.
template <class Element>
const Element* with_border(const ConvSpec& s, const Element* x, Rows rows, Element* padded);

std::int64_t gathered_scratch(const ConvSpec& spec);  // in floats
void run_gathered(const Convolution::Parts& conv, const float* x, const float* residual, float* y, float* scratch, Share share);

// t : [pixels, K] -> y : [pixels, tail]
template <class Element>
void run_tail(const Convolution::Parts& conv, std::int64_t pixels, const Element* t, const Element* residual, Element* y) {
  const ConvSpec& s = conv.spec;
  product<Element>({.length = s.k}, {.pixels = pixels, .x_step = s.k, .y_step = s.tail}, s.tail, t, conv.tail_weights, conv.tail_bias, residual,
                   conv.outer, y);
}

}  // namespace hinge::kernels::lanes
