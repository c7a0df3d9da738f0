// One value in, one value out, for every element; and the bias of a linear layer.
#pragma once

#include <cstdint>

namespace hinge::kernels {

// y = max(0, x); NaN stays NaN.
struct ReluForward {
  static constexpr const char* kName = "relu";
  using Signature = void(std::int64_t size, const float* x, float* y);
};
// dx = dy where y > 0, else 0.
struct ReluBackward {
  static constexpr const char* kName = "relu backward";
  using Signature = void(std::int64_t size, const float* dy, const float* y, float* dx);
};
// y = min(max(0, x), ceiling), ceiling > 0; NaN stays NaN. ReLU6 (Howard et al., 2017) has a ceiling of 6.
struct CappedReluForward {
  static constexpr const char* kName = "capped relu";
  using Signature = void(std::int64_t size, float ceiling, const float* x, float* y);
};
// dx = dy where 0 < y < ceiling, else 0.
struct CappedReluBackward {
  static constexpr const char* kName = "capped relu backward";
  using Signature = void(std::int64_t size, float ceiling, const float* dy, const float* y, float* dx);
};
// c = a + b; c may be a or b.
struct Add {
  static constexpr const char* kName = "add";
  using Signature = void(std::int64_t size, const float* a, const float* b, float* c);
};
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
struct BiasAdd {
  static constexpr const char* kName = "bias";
  using Signature = void(std::int64_t rows, std::int64_t c, const float* x, const float* bias,
                         float* y);
};
// The same with y = max(0, .) behind it; NaN stays NaN.
struct BiasRelu {
  static constexpr const char* kName = "bias and relu";
  using Signature = BiasAdd::Signature;
};
// dbias[c] = sum over rows of dy[row, c].
struct BiasBackward {
  static constexpr const char* kName = "bias backward";
  using Signature = void(std::int64_t rows, std::int64_t c, const float* dy, float* dbias);
};

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
struct Dropout {
  static constexpr const char* kName = "dropout";
  using Signature = void(const DropoutShape&, const float* x, float* y);
};

}  // namespace hinge::kernels
