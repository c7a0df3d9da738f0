// A separable regulariser from a few scalar functions, for regularizers/*.cu.
//
//   struct Penalty {                                                         trivially copyable: kernels take it by value
//     static Penalty from(const RegularizerOptions&);                        options are complete and in range
//     SIMT_HOST_DEVICE double value(double norm) const;                      rho(norm)
//     SIMT_HOST_DEVICE double derivative(double norm) const;                 rho'(norm), norm > 0
//     SIMT_HOST_DEVICE double shrink(double norm, double step) const;        x*/norm in [0, 1]; 0 for norm 0
//   };
//   x* = argmin_{x >= 0}  1/2 (x - norm)^2 + step * rho(x), the global minimiser. Only maths that CUDA has too.
//
// These functions are all there is to write: the CPU's loop calls them, and where the file is built with
// HINGE_PENALTY_KERNELS (by nvcc, or by a host compiler for the emulator), kernels/group_prox.cuh compiles them into the
// launch over a whole network.
#pragma once

#include <cmath>
#include <type_traits>

#include "compress/regularizer.h"
#include "kernels/simt/host_device.h"

#if defined(HINGE_PENALTY_KERNELS)
#include "kernels/group_prox.cuh"
#endif

namespace hinge::compress {

template <class Penalty>
class GroupPenalty final : public Regularizer {
  static_assert(std::is_trivially_copyable_v<Penalty>, "kernels take penalties by value");

 public:
  explicit GroupPenalty(Penalty penalty) : penalty_(penalty) {}
  double value(double norm) const override { return penalty_.value(norm); }
  double shrink(double norm, double step) const override { return penalty_.shrink(norm, step); }
  double derivative(double norm) const override { return penalty_.derivative(norm); }

#if defined(HINGE_PENALTY_KERNELS)
  void group_prox(const kernels::GroupTable& table, simt::NativeStream stream) const override {
    kernels::group_prox(table, penalty_, stream);
  }
  bool sgd_group_prox(const kernels::GroupTable& table, const kernels::SgdOptions* options, simt::NativeStream stream) const override {
    kernels::sgd_group_prox(table, options, penalty_, stream);
    return true;
  }
#endif

 private:
  Penalty penalty_;
};

template <class Penalty>
bool register_group_penalty(RegularizerInfo info) {
  return register_regularizer(std::move(info), [](const RegularizerOptions& options) -> std::unique_ptr<Regularizer> {
    return std::make_unique<GroupPenalty<Penalty>>(Penalty::from(options));
  });
}

// The shrink of a penalty without a closed form. Needs a concave, increasing rho with a convex derivative, as all
// penalties between l0 and l1 have, and its curvature(norm) = rho''(norm).
//
//   h(x) = x - n + step rho'(x) is convex, and h(n) >= 0: Newton's method from n falls monotonically to the largest
//   stationary point, or passes 0 or a point of slope <= 0 if there is none. 0 wins if its objective is lower.
template <class Penalty>
SIMT_HOST_DEVICE double shrink_by_newton(const Penalty& penalty, double norm, double step) {
  if (!(norm > 0.0)) return 0.0;
  double x = norm;
  for (int turn = 0; turn < 64; ++turn) {  // doubles the digits each turn, but near a double root, where 0 wins
    const double slope = 1.0 + step * penalty.curvature(x);
    if (!(slope > 0.0)) return 0.0;
    const double next = x - (x - norm + step * penalty.derivative(x)) / slope;
    if (!(next > 0.0)) return 0.0;
    if (!(next < x)) break;
    x = next;
  }
  // 1/2 (x - n)^2 - 1/2 n^2, without the cancellation of large n.
  const double gain = x * (0.5 * x - norm) + step * (penalty.value(x) - penalty.value(0.0));
  return gain < 0.0 ? x / norm : 0.0;
}

}  // namespace hinge::compress
