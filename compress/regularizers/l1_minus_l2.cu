// l1 minus l2 of the group norms (Lou & Yan, "Fast L1-L2 minimization via a proximal operator", 2018):
//
//   R(n) = sum_g n_g - ||n||_2        zero for a set with at most one living group: it asks for the fewest groups
//
// Coupled: each group's share depends on all norms of the set. With z_g = max(n_g - t, 0):
//   some z > 0:  x_g = z_g (1 + t / ||z||)
//   none:        the largest group alone survives, unshrunk; of equal ones the first
#include <algorithm>
#include <cmath>

#include "compress/regularizer.h"

#if defined(HINGE_PENALTY_KERNELS)
#include "kernels/l1_minus_l2.h"
#endif

namespace hinge::compress {
namespace {

class L1MinusL2 final : public Regularizer {
 public:
  using Regularizer::penalty;

  // A single group is its own l2 norm.
  double value(double) const override { return 0.0; }
  double shrink(double norm, double) const override { return norm > 0.0 ? 1.0 : 0.0; }
  double derivative(double) const override { return 0.0; }

  double penalty(std::span<const double> norms) const override {
    double sum = 0.0;
    for (double norm : norms) sum += norm;
    return std::max(sum - euclidean(norms), 0.0);
  }

  std::vector<double> gradient(std::span<const double> norms) const override {
    const double length = euclidean(norms);
    std::vector<double> result;
    for (double norm : norms) result.push_back(norm > 0.0 ? 1.0 - norm / length : 0.0);
    return result;
  }

  std::vector<double> scales(std::span<const double> norms, double step) const override {
    std::vector<double> result(norms.size(), 0.0);
    for (std::size_t g = 0; g < norms.size(); ++g) result[g] = std::max(norms[g] - step, 0.0);
    const double length = euclidean(result);
    if (length > 0.0) {
      for (std::size_t g = 0; g < norms.size(); ++g) {
        if (result[g] > 0.0) result[g] = std::min(1.0, result[g] / norms[g] * (1.0 + step / length));
      }
    } else if (const auto largest = std::max_element(norms.begin(), norms.end());
               largest != norms.end() && *largest > 0.0) {
      result[static_cast<std::size_t>(largest - norms.begin())] = 1.0;
    }
    return result;
  }

#if defined(HINGE_PENALTY_KERNELS)
  void group_prox(const kernels::GroupTable& table, simt::NativeStream stream) const override {
    kernels::cuda::l1_minus_l2_prox(table, stream);
  }
#endif

 private:
  // Scaled by the largest: neither tiny nor huge norms leave the range of their squares.
  static double euclidean(std::span<const double> norms) {
    const double largest = norms.empty() ? 0.0 : *std::max_element(norms.begin(), norms.end());
    if (!(largest > 0.0)) return 0.0;
    double squares = 0.0;
    for (double norm : norms) squares += norm / largest * (norm / largest);
    return largest * std::sqrt(squares);
  }
};

const bool registered = register_regularizer(
    {.name = "l1-2", .equation = "sum of x_g - ||x||_2 over a layer's groups", .source = "Lou & Yan 2018", .separable = false},
    [](const RegularizerOptions&) -> std::unique_ptr<Regularizer> { return std::make_unique<L1MinusL2>(); });

}  // namespace
}  // namespace hinge::compress
