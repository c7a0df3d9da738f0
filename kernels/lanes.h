// Inference on the CPU without a library: what a vector register's lanes hold is chosen by the number of images.
//
//   Lanes::kImages    activations [H, W, C, L], one image per lane, L = lanes_of(kImages) images in a block
//   Lanes::kChannels  activations [H, W, C] of one image, neighbouring filters in the lanes
//
// The usual layouts put channels into lanes, so 9 channels cost what 16 do. With images there any number of channels
// costs what it is: that is what makes pruned filters and low ranks pay. It takes L images at once (16 with AVX-512,
// 8 with AVX2, else 4); a single image has its filters in the lanes.
//
// Everything here works on one block of images, on the calling thread, and on a range of rows where several threads
// share a block. An "element" below is what one channel of one pixel is: L floats or one. Pointers are aligned to 64 bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/clamp.h"
#include "kernels/pooling.h"

namespace hinge::kernels::lanes {

enum class Lanes { kImages,
                   kChannels };
const char* name_of(Lanes lanes);
// Images in a block, which is also the number of floats in an element.
int lanes_of(Lanes lanes);

// images : [count, features] -> [features, L]; lanes without an image get zeros. 0 <= count <= L.
void load_images(std::int64_t count, std::int64_t features, const float* images, float* elements);
// [features, L] -> [count, features]
void store_images(std::int64_t count, std::int64_t features, const float* elements, float* images);

// Rows [begin, end) of an operation's output.
struct Rows {
  std::int64_t begin = 0, end = 0;
};

// Part `index` of `count`: what one thread of several makes of a convolution.
struct Share {
  std::int64_t index = 0, count = 1;
  Rows of(std::int64_t size) const { return {size * index / count, size * (index + 1) / count}; }
};

using kernels::Clamp;

// What a convolution does with one block; kernels/conv2d.h has the formula.
struct ConvSpec {
  std::int64_t h = 0, w = 0, c = 0;  // of the input
  std::int64_t k = 0, r = 1, s = 1;  // filters
  int stride = 1, padding = 0, groups = 1;
  std::int64_t tail = 0;  // filters of the 1x1 convolution that follows at once; 0: none

  std::int64_t p() const { return (h + 2 * padding - r) / stride + 1; }
  std::int64_t q() const { return (w + 2 * padding - s) / stride + 1; }
  std::int64_t channels_out() const { return tail > 0 ? tail : k; }
  std::string to_string() const;
  auto operator<=>(const ConvSpec&) const = default;
};

// How a convolution is computed.
enum class ConvForm {
  kDirect,    // as the formula says, row by row
  kWinograd,  // F(4x4, 3x3): 2.25 instead of 9 multiplications per output (Lavin & Gray, CVPR 2016)
  kGathered,  // every pixel's window side by side, then as the formula says for all pixels at once: weights are read once
  kClipped,   // direct, without a border: taps outside the picture are left out
};
inline constexpr ConvForm kConvForms[] = {ConvForm::kDirect, ConvForm::kWinograd, ConvForm::kGathered, ConvForm::kClipped};
const char* name_of(ConvForm form);
// Winograd's form exists for 3x3 filters of stride 1 without groups, for one image up to 4.5 MiB of transformed weights; the
// gathered form for one image, without groups or a tail, where its windows fit in a core's cache: the wide layers on tiny pictures;
// the clipped form where at most 80 % of all taps lie inside the picture.
bool has_form(const ConvSpec& spec, ConvForm form, Lanes lanes);

// w : [K, R, S, C/groups] as in conv2d, b : [K] or null.
struct ConvWeights {
  const float* w = nullptr;
  const float* b = nullptr;
};

// A convolution with its weights packed for one form, bias and activation, and the 1x1 convolution behind it (the second
// half of a low-rank pair): what lies between the two is as wide as a few pixels and never leaves the cache.
//
//   t = clamp(conv(x, w) + b, inner)        y = clamp(A t + b' + residual, outer)        with a tail
//                                           y = clamp(conv(x, w) + b + residual, outer)  without
class Convolution {
 public:
  // `tail` : w [spec.tail, K]. Throws std::invalid_argument where the form does not exist.
  Convolution(const ConvSpec& spec, Lanes lanes, ConvForm form, const ConvWeights& weights, const ConvWeights& tail, Clamp inner, Clamp outer);

  // Floats that run() needs beside its operands.
  std::int64_t scratch_size() const { return scratch_; }
  // x : [H, W, C] elements, residual : [P, Q, channels_out] elements or null, y : like residual; y may be residual.
  // A share is of the rows or of the filters, as suits the form; all shares together are the whole.
  void run(const float* x, const float* residual, float* y, float* scratch, Share share = {}) const;

  // Of `count` shares the largest, as a part of the whole: 1 where there is nothing to share.
  double largest_share(std::int64_t count) const;

  const ConvSpec& spec() const { return spec_; }
  ConvForm form() const { return form_; }

  struct Parts {  // plain pointers to all of it; null where there is none
    const ConvSpec& spec;
    const float *weights, *bias, *tail_weights, *tail_bias;
    Clamp inner, outer;
  };

 private:
  Parts parts() const;

  ConvSpec spec_;
  Lanes lanes_;
  ConvForm form_;
  Clamp inner_, outer_;
  std::vector<float> weights_, bias_, tail_weights_, tail_bias_;  // packed (cpu/lanes/product.h); biases may be empty
  std::int64_t scratch_ = 0;
};

// The rest, on one block each.
void pool(Lanes lanes, const PoolShape& shape, const float* x, float* y, Rows rows);  // shape.n is 1
void global_average(Lanes lanes, std::int64_t pixels, std::int64_t c, const float* x, float* y);
void shortcut_a(Lanes lanes, const ShortcutShape& shape, const float* x, float* y, Rows rows);  // shape.n is 1
void add(std::int64_t floats, const float* a, const float* b, Clamp clamp, float* y);
void clamp(std::int64_t floats, const float* x, Clamp clamp, float* y);
// y = clamp(scale[c] x + shift[c] + residual): BatchNorm in inference. residual may be null.
void scale_shift(Lanes lanes, std::int64_t pixels, std::int64_t c, const float* x, const float* scale, const float* shift, const float* residual,
                 Clamp clamp, float* y);
// Channels [0, count) of x, which has `count`, become channels [first, first + count) of y, which has `c`.
void copy_channels(Lanes lanes, std::int64_t pixels, std::int64_t count, const float* x, std::int64_t c, std::int64_t first, float* y);
// [pixels, C] -> [C, pixels]: the order in which PyTorch's linear layers expect features.
void flatten(Lanes lanes, std::int64_t pixels, std::int64_t c, const float* x, float* y);

}  // namespace hinge::kernels::lanes
