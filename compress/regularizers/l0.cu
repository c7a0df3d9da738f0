// Group l0 (Blumensath & Davies, "Iterative thresholding for sparse approximations", 2008):  rho(x) = [x != 0].
//
//   shrink(n, t) = 1 if n > sqrt(2 t), else 0:     1/2 n^2 is the price of 0, t that of keeping n as it is
#include "compress/group_penalty.h"

namespace hinge::compress {
namespace {

struct GroupL0 {
  static GroupL0 from(const RegularizerOptions&) { return {}; }

  SIMT_HOST_DEVICE double value(double norm) const { return norm > 0.0 ? 1.0 : 0.0; }
  SIMT_HOST_DEVICE double derivative(double) const { return 0.0; }
  SIMT_HOST_DEVICE double shrink(double norm, double step) const { return norm > std::sqrt(2.0 * step) ? 1.0 : 0.0; }
};

const bool registered = register_group_penalty<GroupL0>(
    {.name = "l0", .equation = "1 if x > 0, else 0", .source = "hard thresholding, Blumensath & Davies 2008"});

}  // namespace
}  // namespace hinge::compress
