// Two-dimensional convolution (cross-correlation, as everyone calls it) and its two gradients.
//
//   x  : [N, H, W, C]          w : [K, R, S, C/groups]        b : [K]        y : [N, P, Q, K]
//   y[n,p,q,k] = b[k] + sum_{r,s,c} w[k,r,s,c] x[n, p*stride - padding + r, q*stride - padding + s, c]
//   P = (H + 2 padding - R) / stride + 1,  Q likewise; with groups, c runs over k's group only.
//
// T is what x, w, y and their gradients lie in memory as: float, or on a GPU Bfloat16, whose products are added up as floats. The
// bias and its gradient are floats in any case.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace hinge::kernels {

struct ConvShape {
  std::int64_t n = 0, h = 0, w = 0, c = 0;  // input
  std::int64_t k = 0, r = 1, s = 1;         // filters
  int stride = 1, padding = 0, groups = 1;

  std::int64_t p() const { return (h + 2 * padding - r) / stride + 1; }
  std::int64_t q() const { return (w + 2 * padding - s) / stride + 1; }
  std::int64_t input_size() const { return n * h * w * c; }
  std::int64_t filter_size() const { return k * r * s * (c / groups); }
  std::int64_t output_size() const { return n * p() * q() * k; }
  std::int64_t macs() const { return n * p() * q() * filter_size(); }
  // "n128 h32 w32 c16 k16 r3 s3 stride1 pad1 groups1"
  std::string to_string() const;
  auto operator<=>(const ConvShape&) const = default;
};

// y from x, w and b (b may be null).
template <class T>
struct Conv2dForwardOf {
  static constexpr const char* kName = "conv2d";
  using Signature = void(const ConvShape&, const T* x, const T* w, const float* b, T* y);
};
using Conv2dForward = Conv2dForwardOf<float>;

// dx from dy and w.
template <class T>
struct Conv2dBackwardDataOf {
  static constexpr const char* kName = "conv2d backward (data)";
  using Signature = void(const ConvShape&, const T* dy, const T* w, T* dx);
};
using Conv2dBackwardData = Conv2dBackwardDataOf<float>;

// dw (and db unless null) from x and dy.
template <class T>
struct Conv2dBackwardWeightsOf {
  static constexpr const char* kName = "conv2d backward (weights)";
  using Signature = void(const ConvShape&, const T* x, const T* dy, T* dw, float* db);
};
using Conv2dBackwardWeights = Conv2dBackwardWeightsOf<float>;

// Which implementation runs for which shape: measured when a shape is first seen, then kept. Summation order differs
// between implementations, so a run that must repeat another's bytes sets that run's choices before its first step.
using ConvChoices = std::map<std::string, std::string>;
ConvChoices conv_choices();
void set_conv_choices(const ConvChoices& choices);
// How often choices were set or dropped: a backend that keeps functions of its own by key forgets them when this changes.
std::uint64_t conv_choices_version();
// One entry, for a backend that keeps its own functions by key.
std::optional<std::string> conv_choice(const std::string& key);
void record_conv_choice(const std::string& key, const std::string& name);
// Where it is said, once for each key, that a recorded choice does not exist here (another processor, another
// library) and what runs instead; null: standard error.
void on_missing_conv_choice(std::function<void(const std::string& message)> listener);
// Name and version of the library behind the convolutions, e.g. "oneDNN 2.6.3": the bytes depend on it.
std::string conv_library();
// Drops all choices and cached primitives; `force` names the implementation to use wherever it exists ("" measures).
void reset_conv(const std::string& force = "");

}  // namespace hinge::kernels
