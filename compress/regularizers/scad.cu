// Smoothly clipped absolute deviation (Fan & Li, "Variable selection via nonconcave penalized likelihood and its
// oracle properties", 2001), by its slope:
//
//   rho'(x) = lambda  up to lambda,   (a lambda - x) / (a - 1)  up to a lambda,   0 beyond
//
// step multiplies rho and leaves the knots at lambda and a lambda (the paper's a = 3.7). With the stationary points
// n - t lambda on the first piece, ((a-1) n - t a lambda) / (a - 1 - t) on the second, n on the third:
//   t < a - 1:           convex; each piece in turn, up to n = (1 + t) lambda, up to n = a lambda, beyond
//   a - 1 <= t < a + 1:  the second piece is concave: n - t lambda below n = lambda (t + a + 1)/2, n above
//   a + 1 <= t:          nor does the first win any more: n if n > lambda sqrt(t (a + 1)), else 0
#include "compress/group_penalty.h"

namespace hinge::compress {
namespace {

struct Scad {
  double a, lambda;
  static Scad from(const RegularizerOptions& options) { return {options.at("a"), options.at("lambda")}; }

  SIMT_HOST_DEVICE double value(double norm) const {
    if (norm <= lambda) return lambda * norm;
    if (norm < a * lambda) return lambda * norm - 0.5 * (norm - lambda) * (norm - lambda) / (a - 1.0);
    return 0.5 * lambda * lambda * (a + 1.0);
  }
  SIMT_HOST_DEVICE double derivative(double norm) const {
    return std::fmin(lambda, std::fmax(a * lambda - norm, 0.0) / (a - 1.0));
  }
  SIMT_HOST_DEVICE double shrink(double norm, double step) const {
    if (step >= a + 1.0) return norm > lambda * std::sqrt(step * (a + 1.0)) ? 1.0 : 0.0;
    if (!(norm > step * lambda)) return 0.0;
    const double first = 1.0 - step * lambda / norm;
    if (step >= a - 1.0) return norm > 0.5 * lambda * (step + a + 1.0) ? 1.0 : first;
    if (norm <= (1.0 + step) * lambda) return first;
    if (norm >= a * lambda) return 1.0;
    return std::fmin(1.0, (a - 1.0 - step * a * lambda / norm) / (a - 1.0 - step));
  }
};

const bool registered = register_group_penalty<Scad>(
    {.name = "scad",
     .equation = "slope lambda for x < lambda, falling to 0 at a lambda",
     .source = "smoothly clipped absolute deviation, Fan & Li 2001",
     .options = {{.name = "a", .value = 3.7, .above = 2.0, .meaning = "flat from a lambda on"},
                 {.name = "lambda", .value = 1.0, .meaning = "slope at 0; the step multiplies it"}}});

}  // namespace
}  // namespace hinge::compress
