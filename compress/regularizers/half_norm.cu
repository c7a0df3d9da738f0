// Group half-norm (Xu, Chang, Xu & Zhang, "L1/2 regularization: a thresholding representation theory and a fast
// solver", 2012):  rho(x) = sqrt(x).
//
//   n <= 1.5 t^(2/3):  x* = 0              otherwise:  x* = 2/3 n (1 + cos(2/3 (pi - phi))),  phi = acos(t/4 (n/3)^(-3/2))
//
// The paper minimises (x - n)^2 + T sqrt(x), without the half: its T is 2 t. Passing t there halves the strength.
#include "compress/group_penalty.h"

namespace hinge::compress {
namespace {

struct HalfNorm {
  static HalfNorm from(const RegularizerOptions&) { return {}; }

  SIMT_HOST_DEVICE double value(double norm) const { return std::sqrt(norm); }
  SIMT_HOST_DEVICE double derivative(double norm) const { return 0.5 / std::sqrt(norm); }
  SIMT_HOST_DEVICE double shrink(double norm, double step) const {
    constexpr double kPi = 3.14159265358979323846;
    if (!(norm > 1.5 * std::cbrt(step * step))) return 0.0;
    const double third = norm / 3.0;
    const double phi = std::acos(0.25 * step / (third * std::sqrt(third)));        // at most acos(1/sqrt(2)) here
    return std::fmin(1.0, 2.0 / 3.0 * (1.0 + std::cos(2.0 / 3.0 * (kPi - phi))));  // without a step 1 up to rounding
  }
};

const bool registered = register_group_penalty<HalfNorm>(
    {.name = "l1/2", .equation = "sqrt(x)", .source = "half thresholding, Xu, Chang, Xu & Zhang 2012"});

}  // namespace
}  // namespace hinge::compress
