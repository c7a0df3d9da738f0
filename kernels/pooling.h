// Pooling, channel concatenation and the parameter-free ResNet shortcut.
//
//   x : [N, H, W, C]     y : [N, P, Q, C]     P = (H + 2 padding - window) / stride + 1
//
// T is what values lie in memory as: float, or on a GPU Bfloat16.
#pragma once

#include <cstdint>

#include "kernels/simt/host_device.h"

namespace hinge::kernels {

enum class PoolKind { kMax,
                      kAverage };

struct PoolShape {
  std::int64_t n = 0, h = 0, w = 0, c = 0;
  int window = 2, stride = 2, padding = 0;
  PoolKind kind = PoolKind::kMax;

  SIMT_HOST_DEVICE std::int64_t p() const { return (h + 2 * padding - window) / stride + 1; }
  SIMT_HOST_DEVICE std::int64_t q() const { return (w + 2 * padding - window) / stride + 1; }
  std::int64_t input_size() const { return n * h * w * c; }
  std::int64_t output_size() const { return n * p() * q() * c; }
};

// Max: padding is -infinity. Average: padding counts as zeros in the mean (PyTorch's default).
template <class T>
struct PoolForwardOf {
  static constexpr const char* kName = "pool";
  using Signature = void(const PoolShape&, const T* x, T* y);
};
using PoolForward = PoolForwardOf<float>;
// Max: the gradient goes to the first largest element of the window (x and y are read; average reads neither).
template <class T>
struct PoolBackwardOf {
  static constexpr const char* kName = "pool backward";
  using Signature = void(const PoolShape&, const T* dy, const T* x, const T* y,
                         T* dx);
};
using PoolBackward = PoolBackwardOf<float>;

// Option A of He et al. (2016): the shortcut halves the picture and pads channels with zeros on both sides.
//   stride form: y[n,p,q, before + c] = x[n, 2p, 2q, c]        pool form: the mean of the 2 x 2 pixels instead
// P = ceil(H/2) for the stride form, floor(H/2) for the pool form.
struct ShortcutShape {
  std::int64_t n = 0, h = 0, w = 0, c = 0;
  std::int64_t before = 0, after = 0;  // zero channels on each side
  bool pool = false;

  SIMT_HOST_DEVICE std::int64_t p() const { return pool ? h / 2 : (h + 1) / 2; }
  SIMT_HOST_DEVICE std::int64_t q() const { return pool ? w / 2 : (w + 1) / 2; }
  SIMT_HOST_DEVICE std::int64_t k() const { return before + c + after; }
};
template <class T>
struct ShortcutForwardOf {
  static constexpr const char* kName = "option-A shortcut";
  using Signature = void(const ShortcutShape&, const T* x, T* y);
};
using ShortcutForward = ShortcutForwardOf<float>;
template <class T>
struct ShortcutBackwardOf {
  static constexpr const char* kName = "option-A shortcut backward";
  using Signature = void(const ShortcutShape&, const T* dy, T* dx);
};
using ShortcutBackward = ShortcutBackwardOf<float>;

// Copies channels [source_first, source_first + count) of rows of `source` into `target`, both [rows, channels].
struct ChannelCopyShape {
  std::int64_t rows = 0, count = 0;
  std::int64_t source_c = 0, source_first = 0;
  std::int64_t target_c = 0, target_first = 0;
};
template <class T>
struct ChannelCopyOf {
  static constexpr const char* kName = "channel copy";
  using Signature = void(const ChannelCopyShape&, const T* source, T* target);
};
using ChannelCopy = ChannelCopyOf<float>;

// target[row, j] = source[row, channels[j]]: what surgery keeps of the channels. target : [rows, count].
struct ChannelGatherShape {
  std::int64_t rows = 0, source_c = 0, count = 0;
};
struct ChannelGather {
  static constexpr const char* kName = "channel gather";
  using Signature = void(const ChannelGatherShape&, const float* source, const std::int32_t* channels, float* target);
};

// [N, A, B] -> [N, B, A]: pixels and channels change places (A = H*W, B = C and back).
struct TransposeShape {
  std::int64_t n = 0, a = 0, b = 0;
};
struct Transpose {
  static constexpr const char* kName = "transpose";
  using Signature = void(const TransposeShape&, const float* x, float* y);
};

}  // namespace hinge::kernels
