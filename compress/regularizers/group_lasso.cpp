// Group lasso (Yuan & Lin, 2006):  rho(x) = x.
//
//   shrink(n, t) = max(0, 1 - t/n)
#include "compress/regularizer.h"

namespace hinge::compress {
namespace {

struct GroupLasso {
  static GroupLasso from(const RegularizerOptions&) { return {}; }

  double value(double norm) const { return norm; }
  double derivative(double) const { return 1.0; }
  double shrink(double norm, double step) const { return norm > step ? 1.0 - step / norm : 0.0; }
};

const bool registered = register_group_penalty<GroupLasso>("l1");

}  // namespace
}  // namespace hinge::compress
