// In the emulator, convolutions and matrix products are the CPU's: queued on the stream as cuDNN's and cuBLAS's calls are,
// on memory that only queued work may touch.
#include "kernels/conv2d.h"
#include "kernels/gemm.h"
#include "kernels/registry.h"
#include "kernels/simt/emulated_device.h"

namespace hinge::kernels {
namespace {

void forward(const ConvShape& shape, const float* x, const float* w, const float* b, float* y, simt::NativeStream stream) {
  simt::emulator::host_work(Conv2dForward::kName, stream, [=] { kernel_functions<Conv2dForward>.cpu(shape, x, w, b, y); });
}
void backward_data(const ConvShape& shape, const float* dy, const float* w, float* dx, simt::NativeStream stream) {
  simt::emulator::host_work(Conv2dBackwardData::kName, stream, [=] { kernel_functions<Conv2dBackwardData>.cpu(shape, dy, w, dx); });
}
void backward_weights(const ConvShape& shape, const float* x, const float* dy, float* dw, float* db, simt::NativeStream stream) {
  simt::emulator::host_work(Conv2dBackwardWeights::kName, stream,
                            [=] { kernel_functions<Conv2dBackwardWeights>.cpu(shape, x, dy, dw, db); });
}
void gemm(const GemmShape& shape, const float* a, const float* b, float* c, simt::NativeStream stream) {
  simt::emulator::host_work(Gemm::kName, stream, [=] { kernel_functions<Gemm>.cpu(shape, a, b, c); });
}

const bool registered = register_kernel<Conv2dForward>(Backend::kCuda, &forward) &&
                        register_kernel<Conv2dBackwardData>(Backend::kCuda, &backward_data) &&
                        register_kernel<Conv2dBackwardWeights>(Backend::kCuda, &backward_weights) &&
                        register_kernel<Gemm>(Backend::kCuda, &gemm);

}  // namespace
}  // namespace hinge::kernels
