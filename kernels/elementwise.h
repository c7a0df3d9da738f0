// One value in, one value out, for every element; and the bias of a linear layer.
//
// T is what values lie in memory as: float, or on a GPU Bfloat16; a bias and its gradient are floats in any case.
#pragma once

#include <cstdint>

namespace hinge::kernels {

// y = max(0, x); NaN stays NaN.
template <class T>
struct ReluForwardOf {
  static constexpr const char* kName = "relu";
  using Signature = void(std::int64_t size, const T* x, T* y);
};
using ReluForward = ReluForwardOf<float>;
// dx = dy where y > 0, else 0.
template <class T>
struct ReluBackwardOf {
  static constexpr const char* kName = "relu backward";
  using Signature = void(std::int64_t size, const T* dy, const T* y, T* dx);
};
using ReluBackward = ReluBackwardOf<float>;
// y = min(max(0, x), ceiling), ceiling > 0; NaN stays NaN. ReLU6 (Howard et al., 2017) has a ceiling of 6.
template <class T>
struct CappedReluForwardOf {
  static constexpr const char* kName = "capped relu";
  using Signature = void(std::int64_t size, float ceiling, const T* x, T* y);
};
using CappedReluForward = CappedReluForwardOf<float>;
// dx = dy where 0 < y < ceiling, else 0.
template <class T>
struct CappedReluBackwardOf {
  static constexpr const char* kName = "capped relu backward";
  using Signature = void(std::int64_t size, float ceiling, const T* dy, const T* y, T* dx);
};
using CappedReluBackward = CappedReluBackwardOf<float>;
// c = a + b; c may be a or b.
template <class T>
struct AddOf {
  static constexpr const char* kName = "add";
  using Signature = void(std::int64_t size, const T* a, const T* b, T* c);
};
using Add = AddOf<float>;
// y = scale * x.
struct Scale {
  static constexpr const char* kName = "scale";
  using Signature = void(std::int64_t size, float scale, const float* x, float* y);
};
// y = factor[0] * x; the factor lies where x does.
struct ScaleBy {
  static constexpr const char* kName = "scale by a stored factor";
  using Signature = void(std::int64_t size, const float* factor, const float* x, float* y);
};
// y = y + share (x - y): y goes the share of the way to x. 0 leaves it, 1 makes it x.
struct Approach {
  static constexpr const char* kName = "approach";
  using Signature = void(std::int64_t size, float share, const float* x, float* y);
};
// y = value.
struct Fill {
  static constexpr const char* kName = "fill";
  using Signature = void(std::int64_t size, float value, float* y);
};
// y[row, c] = x[row, c] + bias[c]; y may be x.
template <class T>
struct BiasAddOf {
  static constexpr const char* kName = "bias";
  using Signature = void(std::int64_t rows, std::int64_t c, const T* x, const float* bias,
                         T* y);
};
using BiasAdd = BiasAddOf<float>;
// The same with y = max(0, .) behind it; NaN stays NaN.
struct BiasRelu {
  static constexpr const char* kName = "bias and relu";
  using Signature = BiasAdd::Signature;
};
// dbias[c] = sum over rows of dy[row, c].
template <class T>
struct BiasBackwardOf {
  static constexpr const char* kName = "bias backward";
  using Signature = void(std::int64_t rows, std::int64_t c, const T* dy, float* dbias);
};
using BiasBackward = BiasBackwardOf<float>;

// Inverted dropout (Srivastava et al., 2014): y = x / (1 - rate) where the element's random number is at least
// `rate`, else 0. The mask is a pure function of (seed, step, layer, element), so the backward pass is the same call.
struct DropoutShape {
  std::int64_t size = 0;
  float rate = 0.0f;
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::uint32_t layer = 0;
  std::int64_t first = 0;  // number of x[0] among the elements of the whole batch, where this is a part of it
};
template <class T>
struct DropoutOf {
  static constexpr const char* kName = "dropout";
  using Signature = void(const DropoutShape&, const T* x, T* y);
};
using Dropout = DropoutOf<float>;

}  // namespace hinge::kernels
