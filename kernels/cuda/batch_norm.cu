// Batch normalisation, its residual add and its ReLU; and the bias' gradient, which is the same sum. See batch_norm.h.
//
//   statistics   sums of x - x[0, c] and its square (close to the mean, so that the square of a large mean cancels
//                nothing), then mean and variance per channel
//   backward     sums of d = mask(dy) and d (x - mean), then  dx = a d + b (x - mean) + e,  constants per channel:
//                a = gamma rstd,  b = -a rstd^2 mean(d (x - mean)),  e = -a mean(d)
#include "kernels/batch_norm.h"

#include "kernels/device/channel_sums.cuh"
#include "kernels/device/divisor.cuh"
#include "kernels/elementwise.h"
#include "kernels/registry.h"

namespace hinge::kernels::cuda {
namespace {

using namespace device;

constexpr unsigned kThreads = 256;
simt::LaunchShape channel_grid(std::int64_t c) { return {simt::blocks_for(c, kThreads, 65535), kThreads}; }
__device__ std::int64_t thread_number() { return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

template <class T>
struct Moments {
  const T* x;
  template <int kWidth>
  __device__ void add(std::int64_t i, std::int64_t channel, float (&s0)[kWidth], float (&s1)[kWidth]) const {
    float value[kWidth], first[kWidth];
    load_elements(x + i, value);
    load_elements(x + channel, first);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float centred = value[j] - first[j];
      s0[j] += centred;
      s1[j] += centred * centred;
    }
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    moments_kernel(ChannelGrid grid, const double* partial, const T* x, float* mean, float* var) {
  const std::int64_t j = thread_number();
  if (j >= grid.c) return;
  const double inverse = 1.0 / static_cast<double>(grid.rows);
  const double shift = sum_parts(partial, grid, 0, j) * inverse;
  const double variance = sum_parts(partial, grid, 1, j) * inverse - shift * shift;
  mean[j] = static_cast<float>(shift + static_cast<double>(static_cast<float>(x[j])));
  var[j] = static_cast<float>(variance < 0.0 ? 0.0 : variance);  // NaN stays NaN
}

template <class T>
void statistics(const BatchNormShape& s, const T* x, float* mean, float* var, simt::NativeStream stream) {
  if (s.rows == 0 || s.c == 0) return;
  channel_sums<T>("batch norm sums", s.rows, s.c, is_vector_aligned(x), Moments<T>{x}, stream,
                  [&](const ChannelGrid& grid, const double* partial) {
                    simt::launch("batch norm statistics", channel_grid(s.c), stream, &moments_kernel<T>, grid, partial, x, mean,
                                 var);
                  });
}

__global__ void __launch_bounds__(kThreads)
    prepare_kernel(std::int64_t c, BatchNormUpdate update, const float* mean, const float* var, const float* gamma,
                   const float* beta, BatchNormConstants out) {
  const std::int64_t j = thread_number();
  if (j < c) prepare_channel(j, update, mean, var, gamma, beta, out);
}
void prepare(std::int64_t c, const BatchNormUpdate& update, const float* mean, const float* var, const float* gamma,
             const float* beta, const BatchNormConstants& out, simt::NativeStream stream) {
  if (c == 0) return;
  simt::launch("batch norm constants", channel_grid(c), stream, &prepare_kernel, c, update, mean, var, gamma, beta, out);
}

template <bool kRelu>
__device__ float applied(float x, float scale, float shift, float z) {
  const float value = x * scale + shift + z;
  return kRelu && value <= 0.0f ? 0.0f : value;
}

// 4 blocks a multiprocessor leave 64 registers; ptxas' own choice of 40 spills one of the five pointers.
template <class T, bool kResidual, bool kRelu>
__global__ void __launch_bounds__(kElementThreads, 4)
    apply_kernel(std::int64_t size, std::int64_t c, Divisor by_c, const T* x, const float* scale, const float* shift, const T* z, T* y) {
  grid_elements<kVector<T>>(size, c % kVector<T> == 0 && all_vector_aligned(x, scale, shift, z, y), [=](std::int64_t i, auto width) {
    const std::int64_t channel = by_c.remainder(i);
    float v[width], a[width], b[width], r[width] = {};
    load_elements(x + i, v);
    load_elements(scale + channel, a);
    load_elements(shift + channel, b);
    if constexpr (kResidual) load_elements(z + i, r);
#pragma unroll
    for (int j = 0; j < width; ++j) v[j] = applied<kRelu>(v[j], a[j], b[j], r[j]);
    store_elements(y + i, v);
  });
}

template <class T>
void apply(const BatchNormShape& s, const T* x, const float* scale, const float* shift, const T* z, T* y, simt::NativeStream stream) {
  const std::int64_t size = s.rows * s.c;
  if (size == 0) return;
  auto* kernel = z != nullptr ? (s.relu ? &apply_kernel<T, true, true> : &apply_kernel<T, true, false>)
                              : (s.relu ? &apply_kernel<T, false, true> : &apply_kernel<T, false, false>);
  simt::launch("batch norm", element_grid<T>(size), stream, kernel, size, s.c, Divisor(s.c), x, scale, shift, z, y);
}

// y is read only where the ReLU needs it.
template <class T, bool kRelu>
struct GradientTerms {
  const T *dy, *x, *y;
  const float* mean;
  template <int kWidth>
  __device__ void add(std::int64_t i, std::int64_t channel, float (&s0)[kWidth], float (&s1)[kWidth]) const {
    float d[kWidth], value[kWidth], centre[kWidth];
    load_elements(dy + i, d);
    load_elements(x + i, value);
    load_elements(mean + channel, centre);
    if constexpr (kRelu) {
      float out[kWidth];
      load_elements(y + i, out);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) d[j] = out[j] > 0.0f ? d[j] : 0.0f;
    }
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      s0[j] += d[j];
      s1[j] += d[j] * (value[j] - centre[j]);
    }
  }
};

// dgamma, dbeta and the constants a, b, e: [3, C].
__global__ void __launch_bounds__(kThreads)
    constants_kernel(ChannelGrid grid, const double* partial, const float* rstd, const float* gamma, bool batch_statistics,
                     float* dgamma, float* dbeta, float* constants) {
  const std::int64_t j = thread_number();
  if (j >= grid.c) return;
  const double sum_d = sum_parts(partial, grid, 0, j), sum_dx = sum_parts(partial, grid, 1, j);
  const double r = static_cast<double>(rstd[j]), inverse = 1.0 / static_cast<double>(grid.rows);
  const double a = static_cast<double>(gamma[j]) * r;
  dbeta[j] = static_cast<float>(sum_d);
  dgamma[j] = static_cast<float>(sum_dx * r);
  constants[j] = static_cast<float>(a);
  constants[grid.c + j] = batch_statistics ? static_cast<float>(-a * sum_dx * inverse * r * r) : 0.0f;
  constants[2 * grid.c + j] = batch_statistics ? static_cast<float>(-a * sum_d * inverse) : 0.0f;
}

template <class T, bool kRelu, int kWidth>
__global__ void __launch_bounds__(kThreads)
    input_gradient_kernel(std::int64_t items, std::int64_t c, Divisor by_c, const T* dy, const T* x, const T* y, const float* mean,
                          const float* constants, T* dx, T* dz) {
  for (std::int64_t item = thread_number(); item < items; item += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    const std::int64_t i = item * kWidth, channel = by_c.remainder(i);
    float d[kWidth];
    load_elements(dy + i, d);
    if constexpr (kRelu) {
      float out[kWidth];
      load_elements(y + i, out);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) d[j] = out[j] > 0.0f ? d[j] : 0.0f;
    }
    if (dz != nullptr) store_elements(dz + i, d);
    if (dx == nullptr) continue;
    float value[kWidth], centre[kWidth], a[kWidth], b[kWidth], e[kWidth];
    load_elements(x + i, value);
    load_elements(mean + channel, centre);
    load_elements(constants + channel, a);
    load_elements(constants + c + channel, b);
    load_elements(constants + 2 * c + channel, e);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) d[j] = a[j] * d[j] + b[j] * (value[j] - centre[j]) + e[j];
    store_elements(dx + i, d);
  }
}

template <class T, bool kRelu>
void backward_with(const BatchNormShape& s, const T* dy, const T* x, const T* y, const float* mean, const float* rstd, const float* gamma,
                   bool batch_statistics, const BatchNormGradientsOf<T>& grad, simt::NativeStream stream) {
  simt::Buffer<float> constants(3 * s.c, stream);
  channel_sums<T>("batch norm gradient sums", s.rows, s.c, all_vector_aligned(dy, x, kRelu ? y : nullptr, mean),
                  GradientTerms<T, kRelu>{dy, x, y, mean}, stream, [&](const ChannelGrid& grid, const double* partial) {
                    simt::launch("batch norm gradient constants", channel_grid(s.c), stream, &constants_kernel, grid,
                                 partial, rstd, gamma, batch_statistics, grad.dgamma, grad.dbeta, constants.data());
                  });
  if (grad.dx == nullptr && grad.dz == nullptr) return;
  constexpr int kWide = kVector<T>;
  const bool wide = s.c % kWide == 0 && all_vector_aligned(dy, x, kRelu ? y : nullptr, mean, grad.dx, grad.dz);
  const std::int64_t items = s.rows * s.c / (wide ? kWide : 1);
  simt::launch("batch norm input gradient", {simt::blocks_for(items, kThreads, 132 * 16), kThreads}, stream,
               wide ? &input_gradient_kernel<T, kRelu, kWide> : &input_gradient_kernel<T, kRelu, 1>, items, s.c, Divisor(s.c), dy, x, y,
               mean, constants.data(), grad.dx, grad.dz);
}

template <class T>
void backward(const BatchNormShape& s, const T* dy, const T* x, const T* y, const float* mean, const float* rstd, const float* gamma,
              bool batch_statistics, const BatchNormGradientsOf<T>& grad, simt::NativeStream stream) {
  if (s.rows == 0 || s.c == 0) return;
  (s.relu ? &backward_with<T, true> : &backward_with<T, false>)(s, dy, x, y, mean, rstd, gamma, batch_statistics, grad, stream);
}

template <class T>
struct OneTerm {
  const T* x;
  template <int kWidth>
  __device__ void add(std::int64_t i, std::int64_t, float (&s0)[kWidth], float (&)[kWidth]) const {
    float value[kWidth];
    load_elements(x + i, value);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) s0[j] += value[j];
  }
};
__global__ void __launch_bounds__(kThreads) first_sum_kernel(ChannelGrid grid, const double* partial, float* sum) {
  const std::int64_t j = thread_number();
  if (j < grid.c) sum[j] = static_cast<float>(sum_parts(partial, grid, 0, j));
}
template <class T>
void bias_backward(std::int64_t rows, std::int64_t c, const T* dy, float* dbias, simt::NativeStream stream) {
  if (c == 0) return;
  // Without rows there is one empty part: the sums are 0.
  channel_sums<T>("bias gradient sums", rows, c, is_vector_aligned(dy), OneTerm<T>{dy}, stream,
                  [&](const ChannelGrid& grid, const double* partial) {
                    simt::launch("bias gradient", channel_grid(c), stream, &first_sum_kernel, grid, partial, dbias);
                  });
}

template <class T>
bool register_for() {
  return register_kernel<BatchNormStatisticsOf<T>>(Backend::kCuda, &statistics<T>) &&
         register_kernel<BatchNormApplyOf<T>>(Backend::kCuda, &apply<T>) &&
         register_kernel<BatchNormBackwardOf<T>>(Backend::kCuda, &backward<T>) &&
         register_kernel<BiasBackwardOf<T>>(Backend::kCuda, &bias_backward<T>);
}
const bool registered = register_for<float>() && register_for<Bfloat16>() &&
                        register_kernel<BatchNormPrepare>(Backend::kCuda, &prepare);

}  // namespace
}  // namespace hinge::kernels::cuda
