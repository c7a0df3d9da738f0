// The proximal step of the non-separable penalty l1 - l2 on group norms, for all sets of a table in one launch.
//
//   R = sum_g n_g - ||n||,     z_g = max(n_g - step, 0)
//   some z_g > 0:   x_g = z_g (1 + step / ||z||)
//   none:           the group with the largest norm keeps it (the first of several), the others become 0
//   n = 0:          nothing to do
//
// Lou & Yan, "Fast L1-L2 minimization via a proximal operator", 2018, lemma 1. In the table's results `penalty` is
// gamma_s R of the norms before the step.
#pragma once

#include "kernels/group_table.h"

namespace hinge::kernels::cuda {

void l1_minus_l2_prox(const GroupTable& table, simt::NativeStream stream);

}  // namespace hinge::kernels::cuda
