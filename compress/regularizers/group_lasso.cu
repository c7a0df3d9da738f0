// Group lasso (Yuan & Lin, "Model selection and estimation in regression with grouped variables", 2006):  rho(x) = x.
//
//   shrink(n, t) = max(0, 1 - t/n)
#include "compress/group_penalty.h"

namespace hinge::compress {
namespace {

struct GroupLasso {
  static GroupLasso from(const RegularizerOptions&) { return {}; }

  SIMT_HOST_DEVICE double value(double norm) const { return norm; }
  SIMT_HOST_DEVICE double derivative(double) const { return 1.0; }
  SIMT_HOST_DEVICE double shrink(double norm, double step) const { return norm > step ? 1.0 - step / norm : 0.0; }
};

const bool registered = register_group_penalty<GroupLasso>(
    {.name = "l1", .equation = "x", .source = "group lasso, Yuan & Lin 2006", .convex = true});

}  // namespace
}  // namespace hinge::compress
