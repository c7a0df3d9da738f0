// Pooling, the option-A shortcut and moves of channels. See pooling.h.
//
// One thread per 16 bytes of channels of one output pixel (one channel where C or a pointer doesn't allow that): neighbouring
// threads are neighbouring channels, so reads are coalesced. Backward passes gather: every input adds up what the windows
// over it hand back, in the CPU's order, so nothing is atomic and results are the CPU's bits. Global pooling is a window of
// the whole picture.
#include "kernels/pooling.h"

#include "kernels/device/channel_sums.cuh"
#include "kernels/registry.h"

namespace hinge::kernels::cuda {
namespace {

using namespace device;

constexpr unsigned kThreads = 256;

template <class Body>
__device__ void grid_items(std::int64_t items, Body body) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < items; i += stride) body(i);
}
template <class Kernel, class... Args>
void launch_items(const char* name, std::int64_t items, simt::NativeStream stream, Kernel kernel, Args... args) {
  if (items > 0) simt::launch(name, {simt::blocks_for(items, kThreads, 132 * 16), kThreads}, stream, kernel, items, args...);
}

struct Window {
  std::int64_t h_begin, h_end, w_begin, w_end;
  __device__ Window(const PoolShape& s, std::int64_t p, std::int64_t q) {
    const std::int64_t top = p * s.stride - s.padding, left = q * s.stride - s.padding;
    h_begin = max(top, std::int64_t{0}), h_end = min(top + s.window, s.h);
    w_begin = max(left, std::int64_t{0}), w_end = min(left + s.window, s.w);
  }
};

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads) pool_kernel(std::int64_t items, PoolShape s, const T* x, T* y) {
  const float share = 1.0f / static_cast<float>(s.window * s.window);
  const bool is_max = s.kind == PoolKind::kMax;
  const std::int64_t q_count = s.q(), p_count = s.p();
  grid_items(items, [=](std::int64_t item) {
    const std::int64_t i = item * kWidth, c = i % s.c, q = i / s.c % q_count, p = i / s.c / q_count % p_count;
    const std::int64_t n = i / s.c / q_count / p_count;
    const Window window(s, p, q);
    float out[kWidth];
#pragma unroll
    for (int j = 0; j < kWidth; ++j) out[j] = is_max ? -INFINITY : 0.0f;
    for (std::int64_t h = window.h_begin; h < window.h_end; ++h) {
      for (std::int64_t w = window.w_begin; w < window.w_end; ++w) {
        float in[kWidth];
        load_elements(x + ((n * s.h + h) * s.w + w) * s.c + c, in);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) {
          if (!is_max) out[j] += in[j];
          // Takes over a NaN and never lets it go.
          if (is_max && !(out[j] >= in[j] || out[j] != out[j])) out[j] = in[j];
        }
      }
    }
#pragma unroll
    for (int j = 0; j < kWidth; ++j) out[j] = is_max ? out[j] : out[j] * share;
    store_elements(y + i, out);
  });
}

template <class T>
void pool_forward(const PoolShape& s, const T* x, T* y, simt::NativeStream stream) {
  constexpr int kWide = kVector<T>;
  const bool wide = s.c % kWide == 0 && all_vector_aligned(x, y);
  launch_items("pool", s.output_size() / (wide ? kWide : 1), stream, wide ? &pool_kernel<T, kWide> : &pool_kernel<T, 1>, s, x, y);
}

// True if input (h, w) is the first of the window that equals the window's maximum.
template <class T>
__device__ bool is_first_largest(const PoolShape& s, const Window& window, std::int64_t h, std::int64_t w, const T* picture, std::int64_t c,
                                 float largest) {
  for (std::int64_t a = window.h_begin; a <= h; ++a) {
    for (std::int64_t b = window.w_begin; b < window.w_end; ++b) {
      const bool here = a == h && b == w;
      if (static_cast<float>(picture[(a * s.w + b) * s.c + c]) == largest) return here;
      if (here) return false;
    }
  }
  return false;
}

template <class T>
__global__ void __launch_bounds__(kThreads) pool_backward_kernel(std::int64_t items, PoolShape s, const T* dy, const T* x, const T* y, T* dx) {
  const float share = 1.0f / static_cast<float>(s.window * s.window);
  const std::int64_t q_count = s.q(), p_count = s.p();
  grid_items(items, [=](std::int64_t i) {
    const std::int64_t c = i % s.c, w = i / s.c % s.w, h = i / s.c / s.w % s.h, n = i / s.c / s.w / s.h;
    // Windows over h: p * stride - padding <= h < p * stride - padding + window.
    const auto first_of = [=](std::int64_t at) {
      const std::int64_t past = at + s.padding - s.window + 1;
      return past <= 0 ? std::int64_t{0} : (past + s.stride - 1) / s.stride;
    };
    const std::int64_t p_end = min((h + s.padding) / s.stride + 1, p_count);
    const std::int64_t q_end = min((w + s.padding) / s.stride + 1, q_count);
    float sum = 0.0f;
    for (std::int64_t p = first_of(h); p < p_end; ++p) {
      for (std::int64_t q = first_of(w); q < q_end; ++q) {
        const std::int64_t out = ((n * p_count + p) * q_count + q) * s.c + c;
        if (s.kind == PoolKind::kAverage) {
          sum += share * static_cast<float>(dy[out]);
        } else if (const auto largest = static_cast<float>(y[out]); static_cast<float>(x[i]) == largest && is_first_largest(s, Window(s, p, q), h, w, x + n * s.h * s.w * s.c, c, largest)) {
          sum += static_cast<float>(dy[out]);
        }
      }
    }
    dx[i] = T(sum);
  });
}

template <class T>
void pool_backward(const PoolShape& s, const T* dy, const T* x, const T* y, T* dx, simt::NativeStream stream) {
  launch_items("pool backward", s.input_size(), stream, &pool_backward_kernel<T>, s, dy, x, y, dx);
}

template <class T>
__global__ void __launch_bounds__(kThreads) shortcut_kernel(std::int64_t items, ShortcutShape s, const T* x, T* y) {
  const std::int64_t q_count = s.q(), p_count = s.p(), k_count = s.k();
  grid_items(items, [=](std::int64_t i) {
    const std::int64_t c = i % k_count - s.before, q = i / k_count % q_count, row = i / k_count / q_count;
    const std::int64_t n = row / p_count, p = row % p_count;
    float out = 0.0f;
    if (c >= 0 && c < s.c) {
      const T* picture = x + ((n * s.h + 2 * p) * s.w + 2 * q) * s.c + c;
      const auto in = [=](std::int64_t offset) { return static_cast<float>(picture[offset]); };
      out = s.pool ? 0.25f * (in(0) + in(s.c) + in(s.w * s.c) + in((s.w + 1) * s.c)) : in(0);
    }
    y[i] = T(out);
  });
}
template <class T>
void shortcut_forward(const ShortcutShape& s, const T* x, T* y, simt::NativeStream stream) {
  launch_items("option-A shortcut", s.n * s.p() * s.q() * s.k(), stream, &shortcut_kernel<T>, s, x, y);
}

template <class T>
__global__ void __launch_bounds__(kThreads) shortcut_backward_kernel(std::int64_t items, ShortcutShape s, const T* dy, T* dx) {
  const std::int64_t q_count = s.q(), p_count = s.p(), k_count = s.k();
  grid_items(items, [=](std::int64_t i) {
    const std::int64_t c = i % s.c, w = i / s.c % s.w, h = i / s.c / s.w % s.h, n = i / s.c / s.w / s.h;
    const bool read = s.pool ? h / 2 < p_count && w / 2 < q_count : h % 2 == 0 && w % 2 == 0;
    const float d = read ? static_cast<float>(dy[((n * p_count + h / 2) * q_count + w / 2) * k_count + s.before + c]) : 0.0f;
    dx[i] = T(s.pool ? 0.25f * d : d);
  });
}
template <class T>
void shortcut_backward(const ShortcutShape& s, const T* dy, T* dx, simt::NativeStream stream) {
  launch_items("option-A shortcut backward", s.n * s.h * s.w * s.c, stream, &shortcut_backward_kernel<T>, s, dy, dx);
}

template <class T>
__global__ void __launch_bounds__(kThreads) channel_copy_kernel(std::int64_t items, ChannelCopyShape s, const T* source, T* target) {
  grid_items(items, [=](std::int64_t i) {
    const std::int64_t row = i / s.count, c = i % s.count;
    target[row * s.target_c + s.target_first + c] = source[row * s.source_c + s.source_first + c];
  });
}
template <class T>
void channel_copy(const ChannelCopyShape& s, const T* source, T* target, simt::NativeStream stream) {
  launch_items("channel copy", s.rows * s.count, stream, &channel_copy_kernel<T>, s, source, target);
}

__global__ void __launch_bounds__(kThreads) channel_gather_kernel(std::int64_t items, ChannelGatherShape s,
                                                                  const float* source, const std::int32_t* channels,
                                                                  float* target) {
  grid_items(items, [=](std::int64_t i) { target[i] = source[i / s.count * s.source_c + channels[i % s.count]]; });
}
void channel_gather(const ChannelGatherShape& s, const float* source, const std::int32_t* channels, float* target,
                    simt::NativeStream stream) {
  launch_items("channel gather", s.rows * s.count, stream, &channel_gather_kernel, s, source, channels, target);
}

// Through tiles of 32 x 32 in shared memory, so that reads and writes are both along memory; one column more than 32 keeps
// the tile's columns in different banks.
constexpr unsigned kTile = 32, kTileRows = 8;
__global__ void __launch_bounds__(kTile* kTileRows) transpose_kernel(TransposeShape s, const float* x, float* y) {
  SIMT_SHARED(float, tile, [kTile][kTile + 1]);
  const std::int64_t a0 = static_cast<std::int64_t>(blockIdx.x) * kTile, b0 = static_cast<std::int64_t>(blockIdx.y) * kTile;
  for (std::int64_t n = blockIdx.z; n < s.n; n += gridDim.z) {
    const float* from = x + n * s.a * s.b;
    float* to = y + n * s.a * s.b;
    for (unsigned r = threadIdx.y; r < kTile; r += kTileRows) {
      if (a0 + r < s.a && b0 + threadIdx.x < s.b) tile[r][threadIdx.x] = from[(a0 + r) * s.b + b0 + threadIdx.x];
    }
    __syncthreads();
    for (unsigned r = threadIdx.y; r < kTile; r += kTileRows) {
      if (b0 + r < s.b && a0 + threadIdx.x < s.a) to[(b0 + r) * s.a + a0 + threadIdx.x] = tile[threadIdx.x][r];
    }
    __syncthreads();
  }
}
void transpose(const TransposeShape& s, const float* x, float* y, simt::NativeStream stream) {
  if (s.n * s.a * s.b == 0) return;
  const simt::LaunchShape shape{{simt::blocks_for(s.a, kTile, 0x7fffffff), simt::blocks_for(s.b, kTile, 65535),
                                 simt::blocks_for(s.n, 1, 65535)},
                                {kTile, kTileRows}};
  simt::launch("transpose", shape, stream, &transpose_kernel, s, x, y);
}

template <class T>
bool register_for() {
  return register_kernel<PoolForwardOf<T>>(Backend::kCuda, &pool_forward<T>) &&
         register_kernel<PoolBackwardOf<T>>(Backend::kCuda, &pool_backward<T>) &&
         register_kernel<ShortcutForwardOf<T>>(Backend::kCuda, &shortcut_forward<T>) &&
         register_kernel<ShortcutBackwardOf<T>>(Backend::kCuda, &shortcut_backward<T>) &&
         register_kernel<ChannelCopyOf<T>>(Backend::kCuda, &channel_copy<T>);
}
const bool registered = register_for<float>() && register_for<Bfloat16>() &&
                        register_kernel<ChannelGather>(Backend::kCuda, &channel_gather) &&
                        register_kernel<Transpose>(Backend::kCuda, &transpose);

}  // namespace
}  // namespace hinge::kernels::cuda
