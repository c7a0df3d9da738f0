// Floats to bfloat16 and back: six bytes an element; eight elements per thread and turn, 32 bytes on the float's side and 16 on the
// other.
#include "kernels/bfloat16.h"

#include "kernels/device/vector.cuh"
#include "kernels/registry.h"

namespace hinge::kernels::cuda {
namespace {

using namespace device;

// y = x in another type.
template <class From, class To>
__global__ void __launch_bounds__(kElementThreads) convert_kernel(std::int64_t size, const From* x, To* y) {
  grid_elements<kVector<Bfloat16>>(size, all_vector_aligned(x, y), [=](std::int64_t i, auto width) {
    float v[width];
    load_elements(x + i, v);
    store_elements(y + i, v);
  });
}

void to_bfloat16(std::int64_t size, const float* x, Bfloat16* y, simt::NativeStream stream) {
  if (size > 0) simt::launch(ToBfloat16::kName, element_grid<Bfloat16>(size), stream, &convert_kernel<float, Bfloat16>, size, x, y);
}
void from_bfloat16(std::int64_t size, const Bfloat16* y, float* x, simt::NativeStream stream) {
  if (size > 0) simt::launch(FromBfloat16::kName, element_grid<Bfloat16>(size), stream, &convert_kernel<Bfloat16, float>, size, y, x);
}

const bool registered = register_kernel<ToBfloat16>(Backend::kCuda, &to_bfloat16) && register_kernel<FromBfloat16>(Backend::kCuda, &from_bfloat16);

}  // namespace
}  // namespace hinge::kernels::cuda
