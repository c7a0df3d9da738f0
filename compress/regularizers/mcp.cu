// Minimax concave penalty (Zhang, "Nearly unbiased variable selection under minimax concave penalty", 2010):
//
//   rho(x) = lambda x - x^2 / (2 gamma)  up to gamma lambda,  gamma lambda^2 / 2 beyond:  large groups don't shrink
//
// step multiplies rho and leaves its knot at gamma lambda, so the objective is convex for t < gamma only:
//   t < gamma:   x* = 0 up to t lambda;   (n - t lambda) / (1 - t/gamma) up to gamma lambda;   n beyond
//   t >= gamma:  concave up to the knot, so one of the ends wins:  n if n > lambda sqrt(t gamma), else 0
#include "compress/group_penalty.h"

namespace hinge::compress {
namespace {

struct Mcp {
  double gamma, lambda;
  static Mcp from(const RegularizerOptions& options) { return {options.at("gamma"), options.at("lambda")}; }

  SIMT_HOST_DEVICE double value(double norm) const {
    return norm < gamma * lambda ? norm * (lambda - 0.5 * norm / gamma) : 0.5 * gamma * lambda * lambda;
  }
  SIMT_HOST_DEVICE double derivative(double norm) const { return std::fmax(lambda - norm / gamma, 0.0); }
  SIMT_HOST_DEVICE double shrink(double norm, double step) const {
    if (step >= gamma) return norm > lambda * std::sqrt(step * gamma) ? 1.0 : 0.0;
    if (!(norm > step * lambda)) return 0.0;
    if (norm >= gamma * lambda) return 1.0;
    return std::fmin(1.0, (1.0 - step * lambda / norm) / (1.0 - step / gamma));
  }
};

const bool registered = register_group_penalty<Mcp>(
    {.name = "mcp",
     .equation = "lambda x - x^2/(2 gamma) for x < gamma lambda, gamma lambda^2/2 beyond",
     .source = "minimax concave penalty, Zhang 2010",
     .options = {{.name = "gamma", .value = 3.0, .meaning = "flat from gamma lambda on: small is close to l0, large to l1"},
                 {.name = "lambda", .value = 1.0, .meaning = "slope at 0; the step multiplies it"}}});

}  // namespace
}  // namespace hinge::compress
