// TensorSums that ranks' GPUs make among themselves.
#pragma once

#include <memory>

#include "engine/core/tensor_sums.h"

namespace hinge {

// Null, on every rank, where one of them has no way to the others (kernels/simt/group_sums.h); `why` then names it and what is
// missing. Every rank calls it.
std::unique_ptr<TensorSums> sums_on_device(ProcessGroup& group, int index, std::string& why);

}  // namespace hinge
