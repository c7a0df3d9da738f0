// Elementwise kernels: 16 bytes per thread and turn, one element where pointers or sizes don't allow it; of floats and of
// bfloat16.
//
// Bias and dropout: see elementwise.h. Bias with a ReLU behind it is the same kernel with another end.
#include "kernels/elementwise.h"

#include "kernels/device/divisor.cuh"
#include "kernels/device/vector.cuh"
#include "kernels/philox.h"
#include "kernels/registry.h"

namespace hinge::kernels::cuda {
namespace {

using namespace device;

// (value <= 0 ? 0 : value) keeps NaN visible, max(0, NaN) would hide it.
struct ReluValue {
  __device__ float operator()(float x) const { return x <= 0.0f ? 0.0f : x; }
};
struct Times {
  float factor;
  __device__ float operator()(float x) const { return factor * x; }
};
struct TimesStored {
  const float* factor;
  __device__ float operator()(float x) const { return *factor * x; }
};
struct CappedReluValue {
  float ceiling;
  __device__ float operator()(float x) const {
    const float value = x <= 0.0f ? 0.0f : x;
    return value >= ceiling ? ceiling : value;
  }
};
struct PassBelowCeiling {
  float ceiling;
  __device__ float operator()(float dy, float y) const { return y > 0.0f && y < ceiling ? dy : 0.0f; }
};
struct PassWherePositive {
  __device__ float operator()(float dy, float y) const { return y > 0.0f ? dy : 0.0f; }
};
struct PartOfTheWay {
  float share;
  __device__ float operator()(float x, float y) const { return y + share * (x - y); }
};
struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};

template <class T, class F>
__global__ void __launch_bounds__(kElementThreads) map_one_kernel(std::int64_t size, const T* x, T* y, F f) {
  grid_elements<kVector<T>>(size, all_vector_aligned(x, y), [=](std::int64_t i, auto width) {
    float v[width];
    load_elements(x + i, v);
#pragma unroll
    for (int j = 0; j < width; ++j) v[j] = f(v[j]);
    store_elements(y + i, v);
  });
}
template <class T, class F>
__global__ void __launch_bounds__(kElementThreads) map_two_kernel(std::int64_t size, const T* a, const T* b, T* c, F f) {
  grid_elements<kVector<T>>(size, all_vector_aligned(a, b, c), [=](std::int64_t i, auto width) {
    float u[width], v[width];
    load_elements(a + i, u);
    load_elements(b + i, v);
#pragma unroll
    for (int j = 0; j < width; ++j) u[j] = f(u[j], v[j]);
    store_elements(c + i, u);
  });
}

template <class T, class F>
void map_one(const char* name, std::int64_t size, const T* x, T* y, F f, simt::NativeStream stream) {
  if (size > 0) simt::launch(name, element_grid<T>(size), stream, &map_one_kernel<T, F>, size, x, y, f);
}
template <class T, class F>
void map_two(const char* name, std::int64_t size, const T* a, const T* b, T* c, F f, simt::NativeStream stream) {
  if (size > 0) simt::launch(name, element_grid<T>(size), stream, &map_two_kernel<T, F>, size, a, b, c, f);
}

template <class T>
void relu_forward(std::int64_t size, const T* x, T* y, simt::NativeStream stream) {
  map_one("relu", size, x, y, ReluValue(), stream);
}
template <class T>
void relu_backward(std::int64_t size, const T* dy, const T* y, T* dx, simt::NativeStream stream) {
  map_two("relu backward", size, dy, y, dx, PassWherePositive(), stream);
}
template <class T>
void capped_relu_forward(std::int64_t size, float ceiling, const T* x, T* y, simt::NativeStream stream) {
  map_one("capped relu", size, x, y, CappedReluValue{ceiling}, stream);
}
template <class T>
void capped_relu_backward(std::int64_t size, float ceiling, const T* dy, const T* y, T* dx, simt::NativeStream stream) {
  map_two("capped relu backward", size, dy, y, dx, PassBelowCeiling{ceiling}, stream);
}
template <class T>
void add(std::int64_t size, const T* a, const T* b, T* c, simt::NativeStream stream) {
  map_two("add", size, a, b, c, Sum(), stream);
}
void scale(std::int64_t size, float factor, const float* x, float* y, simt::NativeStream stream) {
  map_one("scale", size, x, y, Times{factor}, stream);
}
void approach(std::int64_t size, float share, const float* x, float* y, simt::NativeStream stream) {
  map_two("approach", size, x, y, y, PartOfTheWay{share}, stream);
}
void scale_by(std::int64_t size, const float* factor, const float* x, float* y, simt::NativeStream stream) {
  map_one("scale by a stored factor", size, x, y, TimesStored{factor}, stream);
}

__global__ void __launch_bounds__(kElementThreads) fill_kernel(std::int64_t size, float value, float* y) {
  grid_elements<kVectorFloats>(size, all_vector_aligned(y), [=](std::int64_t i, auto width) {
    float v[width];
#pragma unroll
    for (int j = 0; j < width; ++j) v[j] = value;
    store_elements(y + i, v);
  });
}
void fill(std::int64_t size, float value, float* y, simt::NativeStream stream) {
  if (size > 0) simt::launch("fill", element_grid(size), stream, &fill_kernel, size, value, y);
}

// The bias is float whatever x is.
template <class T, bool kRelu>
__global__ void __launch_bounds__(kElementThreads)
    bias_kernel(std::int64_t size, std::int64_t c, Divisor by_c, const T* x, const float* bias, T* y) {
  // Neighbouring channels never cross a row if their number divides C.
  grid_elements<kVector<T>>(size, c % kVector<T> == 0 && all_vector_aligned(x, bias, y), [=](std::int64_t i, auto width) {
    float v[width], b[width];
    load_elements(x + i, v);
    load_elements(bias + by_c.remainder(i), b);
#pragma unroll
    for (int j = 0; j < width; ++j) v[j] = kRelu ? ReluValue()(v[j] + b[j]) : v[j] + b[j];
    store_elements(y + i, v);
  });
}

template <class T, bool kRelu>
void bias(std::int64_t rows, std::int64_t c, const T* x, const float* bias, T* y, simt::NativeStream stream) {
  const std::int64_t size = rows * c;
  if (size > 0) simt::launch("bias", element_grid<T>(size), stream, &bias_kernel<T, kRelu>, size, c, Divisor(c), x, bias, y);
}

// One Philox call makes the numbers of four elements, on every device.
template <class T>
__global__ void __launch_bounds__(kElementThreads) dropout_kernel(DropoutShape s, const T* x, T* y) {
  const float keep_scale = 1.0f / (1.0f - s.rate);
  const std::uint64_t key = s.seed ^ (static_cast<std::uint64_t>(s.layer) << 32);
  const auto kept = [=](std::uint32_t word, float value) { return uniform(word) >= s.rate ? value * keep_scale : 0.0f; };
  grid_elements<kVector<T>>(s.size, all_vector_aligned(x, y) && s.first % 4 == 0, [=](std::int64_t i, auto width) {
    const std::int64_t element = s.first + i;
    float v[width];
    load_elements(x + i, v);
    if constexpr (width == 1) {
      v[0] = kept(random_words(key, RandomUse::kDropout, s.step, static_cast<std::uint64_t>(element / 4)).word[element % 4], v[0]);
    } else {
#pragma unroll
      for (int j = 0; j < width; j += 4) {
        const PhiloxWords r = random_words(key, RandomUse::kDropout, s.step, static_cast<std::uint64_t>((element + j) / 4));
#pragma unroll
        for (int k = 0; k < 4; ++k) v[j + k] = kept(r.word[k], v[j + k]);
      }
    }
    store_elements(y + i, v);
  });
}
template <class T>
void dropout(const DropoutShape& s, const T* x, T* y, simt::NativeStream stream) {
  if (s.size > 0) simt::launch("dropout", element_grid<T>(s.size), stream, &dropout_kernel<T>, s, x, y);
}

template <class T>
bool register_for() {
  return register_kernel<ReluForwardOf<T>>(Backend::kCuda, &relu_forward<T>) &&
         register_kernel<ReluBackwardOf<T>>(Backend::kCuda, &relu_backward<T>) &&
         register_kernel<CappedReluForwardOf<T>>(Backend::kCuda, &capped_relu_forward<T>) &&
         register_kernel<CappedReluBackwardOf<T>>(Backend::kCuda, &capped_relu_backward<T>) &&
         register_kernel<AddOf<T>>(Backend::kCuda, &add<T>) &&
         register_kernel<BiasAddOf<T>>(Backend::kCuda, &bias<T, false>) &&
         register_kernel<DropoutOf<T>>(Backend::kCuda, &dropout<T>);
}
const bool registered = register_for<float>() && register_for<Bfloat16>() &&
                        register_kernel<Scale>(Backend::kCuda, &scale) &&
                        register_kernel<ScaleBy>(Backend::kCuda, &scale_by) &&
                        register_kernel<Approach>(Backend::kCuda, &approach) &&
                        register_kernel<Fill>(Backend::kCuda, &fill) &&
                        register_kernel<BiasRelu>(Backend::kCuda, &bias<float, true>);

}  // namespace
}  // namespace hinge::kernels::cuda
