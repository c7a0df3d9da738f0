// In the emulator, convolutions and matrix products are the CPU's: queued on the stream as cuDNN's and cuBLAS's calls are,
// on memory that only queued work may touch.
#include <vector>

#include "kernels/bfloat16.h"
#include "kernels/conv2d.h"
#include "kernels/gemm.h"
#include "kernels/registry.h"
#include "kernels/simt/emulated_device.h"

namespace hinge::kernels {
namespace {

// What a call reads and writes, as floats: bfloat16 is widened for the CPU's kernels and rounded behind them.
const float* widened(const float* values, std::int64_t, std::vector<float>&) { return values; }
const float* widened(const Bfloat16* values, std::int64_t size, std::vector<float>& space) {
  if (values == nullptr) return nullptr;
  for (std::int64_t i = 0; i < size; ++i) space.push_back(static_cast<float>(values[i]));
  return space.data();
}
template <class Call>
void write(float* values, std::int64_t, Call call) { call(values); }
template <class Call>
void write(Bfloat16* values, std::int64_t size, Call call) {
  std::vector<float> result(static_cast<std::size_t>(size));
  call(result.data());
  for (std::int64_t i = 0; i < size; ++i) values[i] = Bfloat16(result[static_cast<std::size_t>(i)]);
}

// Two operands in, one out, in the order of memory.
template <class T, class Call>
void library_call(const char* name, simt::NativeStream stream, const T* a, std::int64_t a_size, const T* b, std::int64_t b_size, T* out, std::int64_t out_size, Call call) {
  simt::emulator::host_work(name, stream, [=] {
    std::vector<float> a_space, b_space;
    const float *a_floats = widened(a, a_size, a_space), *b_floats = widened(b, b_size, b_space);
    write(out, out_size, [&](float* result) { call(a_floats, b_floats, result); });
  });
}

template <class T>
void forward(const ConvShape& s, const T* x, const T* w, const float* b, T* y, simt::NativeStream stream) {
  library_call(Conv2dForward::kName, stream, x, s.input_size(), w, s.filter_size(), y, s.output_size(),
               [=](const float* x1, const float* w1, float* y1) { kernel_functions<Conv2dForward>.cpu(s, x1, w1, b, y1); });
}
template <class T>
void backward_data(const ConvShape& s, const T* dy, const T* w, T* dx, simt::NativeStream stream) {
  library_call(Conv2dBackwardData::kName, stream, dy, s.output_size(), w, s.filter_size(), dx, s.input_size(),
               [=](const float* dy1, const float* w1, float* dx1) { kernel_functions<Conv2dBackwardData>.cpu(s, dy1, w1, dx1); });
}
template <class T>
void backward_weights(const ConvShape& s, const T* x, const T* dy, T* dw, float* db, simt::NativeStream stream) {
  library_call(Conv2dBackwardWeights::kName, stream, x, s.input_size(), dy, s.output_size(), dw, s.filter_size(),
               [=](const float* x1, const float* dy1, float* dw1) { kernel_functions<Conv2dBackwardWeights>.cpu(s, x1, dy1, dw1, db); });
}
template <class T>
void gemm(const GemmShape& s, const T* a, const T* b, T* c, simt::NativeStream stream) {
  library_call(Gemm::kName, stream, a, s.m * s.k, b, s.k * s.n, c, s.m * s.n, [=](const float* a1, const float* b1, float* c1) { kernel_functions<Gemm>.cpu(s, a1, b1, c1); });
}

template <class T>
bool register_for() {
  return register_kernel<Conv2dForwardOf<T>>(Backend::kCuda, &forward<T>) &&
         register_kernel<Conv2dBackwardDataOf<T>>(Backend::kCuda, &backward_data<T>) &&
         register_kernel<Conv2dBackwardWeightsOf<T>>(Backend::kCuda, &backward_weights<T>);
}
// A product of bfloat16 is what cuDNN's place in the GPU's convolutions is weighed against; nothing asks for one here.
const bool registered = register_for<float>() && register_for<Bfloat16>() && register_kernel<Gemm>(Backend::kCuda, &gemm<float>);

}  // namespace
}  // namespace hinge::kernels
