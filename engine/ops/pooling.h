// Pooling, the parameter-free ResNet shortcut, concatenation and flattening.
#pragma once

#include <span>

#include "engine/autograd/node.h"

namespace hinge {

struct PoolOptions {
  int window = 2;
  int stride = 2;
  int padding = 0;
};

// x : [N, H, W, C] -> [N, P, Q, C]. Padding is -infinity for the maximum and counts as zeros in the average.
Tensor max_pool(const Tensor& x, const PoolOptions& options, const Stream& stream);
Tensor average_pool(const Tensor& x, const PoolOptions& options, const Stream& stream);

// x : [N, H, W, C] -> [N, 1, 1, C], the mean over all pixels.
Tensor global_average_pool(const Tensor& x, const Stream& stream);

struct ShortcutOptions {
  std::int64_t before = 0, after = 0;  // zero channels added on each side
  bool pool = false;                   // 2x2 average; otherwise every second pixel
};
// Option A of He et al. (2016), section 4.2: halves the picture, pads the channels with zeros.
Tensor shortcut_a(const Tensor& x, const ShortcutOptions& options, const Stream& stream);

// [N, H, W, C_i] ... -> [N, H, W, sum of C_i], in the order given.
Tensor concat(std::span<const Tensor> parts, const Stream& stream);

// [N, H, W, C] -> [N, C*H*W] in the order C, H, W: the order in which PyTorch's linear layers expect it.
Tensor flatten(const Tensor& x, const Stream& stream);

}  // namespace hinge
