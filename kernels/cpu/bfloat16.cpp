#include "kernels/bfloat16.h"

#include "kernels/cpu/parallel.h"
#include "kernels/registry.h"

namespace hinge::kernels::cpu {
namespace {

void to_bfloat16(std::int64_t size, const float* x, Bfloat16* y) {
  parallel_ranges(size, 1, [=](Range range) {
    for (std::int64_t i = range.begin; i < range.end; ++i) y[i] = Bfloat16(x[i]);
  });
}
void from_bfloat16(std::int64_t size, const Bfloat16* y, float* x) {
  parallel_ranges(size, 1, [=](Range range) {
    for (std::int64_t i = range.begin; i < range.end; ++i) x[i] = static_cast<float>(y[i]);
  });
}

const bool registered = register_kernel<ToBfloat16>(Backend::kCpu, &to_bfloat16) && register_kernel<FromBfloat16>(Backend::kCpu, &from_bfloat16);

}  // namespace
}  // namespace hinge::kernels::cpu
