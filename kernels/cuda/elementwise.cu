// Elementwise kernels: 16 bytes per thread and turn, one element where pointers or sizes don't allow it.
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

template <class F>
__global__ void __launch_bounds__(kElementThreads) map_one_kernel(std::int64_t size, const float* x, float* y, F f) {
  grid_elements(
      size, all_vector_aligned(x, y), [=](std::int64_t i) { store_vector(y + i, each(load_vector(x + i), f)); },
      [=](std::int64_t i) { y[i] = f(x[i]); });
}
template <class F>
__global__ void __launch_bounds__(kElementThreads)
    map_two_kernel(std::int64_t size, const float* a, const float* b, float* c, F f) {
  grid_elements(
      size, all_vector_aligned(a, b, c),
      [=](std::int64_t i) { store_vector(c + i, each(load_vector(a + i), load_vector(b + i), f)); },
      [=](std::int64_t i) { c[i] = f(a[i], b[i]); });
}

template <class F>
void map_one(const char* name, std::int64_t size, const float* x, float* y, F f, simt::NativeStream stream) {
  if (size > 0) simt::launch(name, element_grid(size), stream, &map_one_kernel<F>, size, x, y, f);
}
template <class F>
void map_two(const char* name, std::int64_t size, const float* a, const float* b, float* c, F f,
             simt::NativeStream stream) {
  if (size > 0) simt::launch(name, element_grid(size), stream, &map_two_kernel<F>, size, a, b, c, f);
}

void relu_forward(std::int64_t size, const float* x, float* y, simt::NativeStream stream) {
  map_one("relu", size, x, y, ReluValue(), stream);
}
void relu_backward(std::int64_t size, const float* dy, const float* y, float* dx, simt::NativeStream stream) {
  map_two("relu backward", size, dy, y, dx, PassWherePositive(), stream);
}
void add(std::int64_t size, const float* a, const float* b, float* c, simt::NativeStream stream) {
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
void capped_relu_forward(std::int64_t size, float ceiling, const float* x, float* y, simt::NativeStream stream) {
  map_one("capped relu", size, x, y, CappedReluValue{ceiling}, stream);
}
void capped_relu_backward(std::int64_t size, float ceiling, const float* dy, const float* y, float* dx,
                          simt::NativeStream stream) {
  map_two("capped relu backward", size, dy, y, dx, PassBelowCeiling{ceiling}, stream);
}

__global__ void __launch_bounds__(kElementThreads) fill_kernel(std::int64_t size, float value, float* y) {
  grid_elements(
      size, all_vector_aligned(y), [=](std::int64_t i) { store_vector(y + i, make_float4(value, value, value, value)); },
      [=](std::int64_t i) { y[i] = value; });
}
void fill(std::int64_t size, float value, float* y, simt::NativeStream stream) {
  if (size > 0) simt::launch("fill", element_grid(size), stream, &fill_kernel, size, value, y);
}

template <bool kRelu>
__global__ void __launch_bounds__(kElementThreads)
    bias_kernel(std::int64_t size, std::int64_t c, Divisor by_c, const float* x, const float* bias, float* y) {
  const auto end = [](float value) { return kRelu ? ReluValue()(value) : value; };
  // A vector of four channels never crosses a row if their number is a multiple of four.
  grid_elements(
      size, c % kVectorFloats == 0 && all_vector_aligned(x, bias, y),
      [=](std::int64_t i) {
        store_vector(y + i, each(load_vector(x + i), load_vector(bias + by_c.remainder(i)), [=](float a, float b) { return end(a + b); }));
      },
      [=](std::int64_t i) { y[i] = end(x[i] + bias[by_c.remainder(i)]); });
}

template <bool kRelu>
void bias(std::int64_t rows, std::int64_t c, const float* x, const float* bias, float* y, simt::NativeStream stream) {
  const std::int64_t size = rows * c;
  if (size > 0) simt::launch("bias", element_grid(size), stream, &bias_kernel<kRelu>, size, c, Divisor(c), x, bias, y);
}

// One Philox call makes the numbers of four elements, on every device.
__global__ void __launch_bounds__(kElementThreads) dropout_kernel(DropoutShape s, const float* x, float* y) {
  const float keep_scale = 1.0f / (1.0f - s.rate);
  const std::uint64_t key = s.seed ^ (static_cast<std::uint64_t>(s.layer) << 32);
  const auto kept = [=](std::uint32_t word, float value) { return uniform(word) >= s.rate ? value * keep_scale : 0.0f; };
  grid_elements(
      s.size, all_vector_aligned(x, y) && s.first % 4 == 0,
      [=](std::int64_t i) {
        const PhiloxWords r = random_words(key, RandomUse::kDropout, s.step, static_cast<std::uint64_t>((s.first + i) / 4));
        const float4 v = load_vector(x + i);
        store_vector(y + i, make_float4(kept(r.word[0], v.x), kept(r.word[1], v.y), kept(r.word[2], v.z), kept(r.word[3], v.w)));
      },
      [=](std::int64_t i) {
        const std::int64_t element = s.first + i;
        const PhiloxWords r = random_words(key, RandomUse::kDropout, s.step, static_cast<std::uint64_t>(element / 4));
        y[i] = kept(r.word[element % 4], x[i]);
      });
}
void dropout(const DropoutShape& s, const float* x, float* y, simt::NativeStream stream) {
  if (s.size > 0) simt::launch("dropout", element_grid(s.size), stream, &dropout_kernel, s, x, y);
}

const bool registered = register_kernel<ReluForward>(Backend::kCuda, &relu_forward) &&
                        register_kernel<ReluBackward>(Backend::kCuda, &relu_backward) &&
                        register_kernel<Add>(Backend::kCuda, &add) &&
                        register_kernel<Scale>(Backend::kCuda, &scale) &&
                        register_kernel<ScaleBy>(Backend::kCuda, &scale_by) &&
                        register_kernel<Approach>(Backend::kCuda, &approach) &&
                        register_kernel<Fill>(Backend::kCuda, &fill) &&
                        register_kernel<CappedReluForward>(Backend::kCuda, &capped_relu_forward) &&
                        register_kernel<CappedReluBackward>(Backend::kCuda, &capped_relu_backward) &&
                        register_kernel<BiasAdd>(Backend::kCuda, &bias<false>) &&
                        register_kernel<BiasRelu>(Backend::kCuda, &bias<true>) &&
                        register_kernel<Dropout>(Backend::kCuda, &dropout);

}  // namespace
}  // namespace hinge::kernels::cuda
