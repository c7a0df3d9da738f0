// Log-sum (Candes, Wakin & Boyd, "Enhancing sparsity by reweighted l1 minimization", 2008):  rho(x) = log(x + eps).
//
//   x - n + t/(x + eps) = 0   <=>   x^2 - (n - eps) x + (t - n eps) = 0
// Its larger root is a local minimum only: 0 wins whenever its objective, 1/2 n^2 + t log(eps), is lower. rho is
// negative below 1 - eps; only differences of it matter.
#include "compress/group_penalty.h"

namespace hinge::compress {
namespace {

struct LogSum {
  double eps;
  static LogSum from(const RegularizerOptions& options) { return {options.at("eps")}; }

  SIMT_HOST_DEVICE double value(double norm) const { return std::log(norm + eps); }
  SIMT_HOST_DEVICE double derivative(double norm) const { return 1.0 / (norm + eps); }
  SIMT_HOST_DEVICE double shrink(double norm, double step) const {
    if (!(norm > 0.0)) return 0.0;
    // (n + eps)^2 - 4 t, factored: no digits are lost where it is small.
    const double discriminant = (norm + eps - 2.0 * std::sqrt(step)) * (norm + eps + 2.0 * std::sqrt(step));
    if (!(discriminant > 0.0)) return 0.0;
    const double root = std::sqrt(discriminant);
    // Each form of the larger root adds numbers of one sign: norms far below eps keep their digits.
    const double share = norm > eps ? 0.5 * (norm - eps + root) / norm : 2.0 * (eps - step / norm) / (root + (eps - norm));
    if (!(share > 0.0)) return 0.0;
    const double x = std::fmin(share, 1.0) * norm;
    const double gain = x * (0.5 * x - norm) + step * std::log1p(x / eps);  // objective at x less that at 0
    return gain < 0.0 ? std::fmin(share, 1.0) : 0.0;
  }
};

const bool registered = register_group_penalty<LogSum>(
    {.name = "logsum",
     .equation = "log(x + eps)",
     .source = "Candes, Wakin & Boyd 2008",
     .options = {{.name = "eps", .value = 0.01, .meaning = "norms far above it are hardly penalised further"}}});

}  // namespace
}  // namespace hinge::compress
