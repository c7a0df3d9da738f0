// Group two-thirds norm (Cao, Sun & Xu, "Fast image deconvolution using closed-form thresholding formulas of Lq (q = 1/2,
// 2/3) regularization", 2013):  rho(x) = x^(2/3).
//
// With s = x/n only k = t n^(-4/3) matters. s = y^3 turns the stationary point into the quartic y^4 - y + 2/3 k = 0:
//   k >= 3/4 2^(-1/3):  x* = 0            otherwise, with u = 4/3 sqrt(2 k) cosh(acosh(27/64 sqrt(2) k^(-3/2)) / 3),
//   y = (sqrt(u) + sqrt(2/sqrt(u) - u)) / 2            x* jumps from 0 to n/2
#include "compress/group_penalty.h"

namespace hinge::compress {
namespace {

struct TwoThirds {
  static TwoThirds from(const RegularizerOptions&) { return {}; }

  SIMT_HOST_DEVICE double value(double norm) const { return std::cbrt(norm * norm); }
  SIMT_HOST_DEVICE double derivative(double norm) const { return 2.0 / 3.0 / std::cbrt(norm); }
  SIMT_HOST_DEVICE double shrink(double norm, double step) const {
    constexpr double kLargest = 0.5952753944880748030;  // 3/4 2^(-1/3)
    const double k = step / (norm * std::cbrt(norm));
    if (!(norm > 0.0 && k < kLargest)) return 0.0;
    if (k < 1e-17) return 1.0;  // to the last digit
    const double u = 4.0 / 3.0 * std::sqrt(2.0 * k) * std::cosh(std::acosh(27.0 / 64.0 * std::sqrt(2.0) / (k * std::sqrt(k))) / 3.0);
    const double root = std::sqrt(u), y = 0.5 * (root + std::sqrt(2.0 / root - u));
    return std::fmin(1.0, y * y * y);
  }
};

const bool registered = register_group_penalty<TwoThirds>(
    {.name = "l2/3", .equation = "x^(2/3)", .source = "Cao, Sun & Xu 2013"});

}  // namespace
}  // namespace hinge::compress
