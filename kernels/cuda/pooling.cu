// Pooling, the option-A shortcut and moves of channels. See pooling.h.
//
// One thread per four channels of one output pixel (one channel where C or a pointer doesn't allow four): neighbouring
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
// Launches wide or narrow for `elements` whose last axis is `c`.
template <class Wide, class Narrow, class... Args>
void launch_pixels(const char* name, std::int64_t elements, bool wide, simt::NativeStream stream, Wide wide_kernel,
                   Narrow narrow_kernel, Args... args) {
  if (elements == 0) return;
  const std::int64_t items = wide ? elements / kVectorFloats : elements;
  const simt::LaunchShape shape{simt::blocks_for(items, kThreads, 132 * 16), kThreads};
  simt::launch(name, shape, stream, wide ? wide_kernel : narrow_kernel, items, args...);
}

struct Window {
  std::int64_t h_begin, h_end, w_begin, w_end;
  __device__ Window(const PoolShape& s, std::int64_t p, std::int64_t q) {
    const std::int64_t top = p * s.stride - s.padding, left = q * s.stride - s.padding;
    h_begin = max(top, std::int64_t{0}), h_end = min(top + s.window, s.h);
    w_begin = max(left, std::int64_t{0}), w_end = min(left + s.window, s.w);
  }
};

template <int kWidth>
__global__ void __launch_bounds__(kThreads) pool_kernel(std::int64_t items, PoolShape s, const float* x, float* y) {
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
        load_channels(x + ((n * s.h + h) * s.w + w) * s.c + c, in);
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
    store_channels(y + i, out);
  });
}

void pool_forward(const PoolShape& s, const float* x, float* y, simt::NativeStream stream) {
  launch_pixels("pool", s.output_size(), s.c % kVectorFloats == 0 && all_vector_aligned(x, y), stream,
                &pool_kernel<kVectorFloats>, &pool_kernel<1>, s, x, y);
}

// True if input (h, w) is the first of the window that equals the window's maximum.
__device__ inline bool is_first_largest(const PoolShape& s, const Window& window, std::int64_t h, std::int64_t w,
                                        const float* picture, std::int64_t c, float largest) {
  for (std::int64_t a = window.h_begin; a <= h; ++a) {
    for (std::int64_t b = window.w_begin; b < window.w_end; ++b) {
      const bool here = a == h && b == w;
      if (picture[(a * s.w + b) * s.c + c] == largest) return here;
      if (here) return false;
    }
  }
  return false;
}

__global__ void __launch_bounds__(kThreads)
    pool_backward_kernel(std::int64_t items, PoolShape s, const float* dy, const float* x, const float* y, float* dx) {
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
          sum += share * dy[out];
        } else if (x[i] == y[out] && is_first_largest(s, Window(s, p, q), h, w, x + n * s.h * s.w * s.c, c, y[out])) {
          sum += dy[out];
        }
      }
    }
    dx[i] = sum;
  });
}

void pool_backward(const PoolShape& s, const float* dy, const float* x, const float* y, float* dx,
                   simt::NativeStream stream) {
  launch_pixels("pool backward", s.input_size(), false, stream, &pool_backward_kernel, &pool_backward_kernel, s, dy, x, y,
                dx);
}

__global__ void __launch_bounds__(kThreads)
    shortcut_kernel(std::int64_t items, ShortcutShape s, const float* x, float* y) {
  const std::int64_t q_count = s.q(), p_count = s.p(), k_count = s.k();
  grid_items(items, [=](std::int64_t i) {
    const std::int64_t c = i % k_count - s.before, q = i / k_count % q_count, row = i / k_count / q_count;
    const std::int64_t n = row / p_count, p = row % p_count;
    float out = 0.0f;
    if (c >= 0 && c < s.c) {
      const float* in = x + ((n * s.h + 2 * p) * s.w + 2 * q) * s.c + c;
      out = s.pool ? 0.25f * (in[0] + in[s.c] + in[s.w * s.c] + in[(s.w + 1) * s.c]) : in[0];
    }
    y[i] = out;
  });
}
void shortcut_forward(const ShortcutShape& s, const float* x, float* y, simt::NativeStream stream) {
  launch_pixels("option-A shortcut", s.n * s.p() * s.q() * s.k(), false, stream, &shortcut_kernel, &shortcut_kernel, s, x,
                y);
}

__global__ void __launch_bounds__(kThreads)
    shortcut_backward_kernel(std::int64_t items, ShortcutShape s, const float* dy, float* dx) {
  const std::int64_t q_count = s.q(), p_count = s.p(), k_count = s.k();
  grid_items(items, [=](std::int64_t i) {
    const std::int64_t c = i % s.c, w = i / s.c % s.w, h = i / s.c / s.w % s.h, n = i / s.c / s.w / s.h;
    const bool read = s.pool ? h / 2 < p_count && w / 2 < q_count : h % 2 == 0 && w % 2 == 0;
    const float d = read ? dy[((n * p_count + h / 2) * q_count + w / 2) * k_count + s.before + c] : 0.0f;
    dx[i] = s.pool ? 0.25f * d : d;
  });
}
void shortcut_backward(const ShortcutShape& s, const float* dy, float* dx, simt::NativeStream stream) {
  launch_pixels("option-A shortcut backward", s.n * s.h * s.w * s.c, false, stream, &shortcut_backward_kernel,
                &shortcut_backward_kernel, s, dy, dx);
}

__global__ void __launch_bounds__(kThreads)
    channel_copy_kernel(std::int64_t items, ChannelCopyShape s, const float* source, float* target) {
  grid_items(items, [=](std::int64_t i) {
    const std::int64_t row = i / s.count, c = i % s.count;
    target[row * s.target_c + s.target_first + c] = source[row * s.source_c + s.source_first + c];
  });
}
void channel_copy(const ChannelCopyShape& s, const float* source, float* target, simt::NativeStream stream) {
  launch_pixels("channel copy", s.rows * s.count, false, stream, &channel_copy_kernel, &channel_copy_kernel, s, source,
                target);
}

__global__ void __launch_bounds__(kThreads) channel_gather_kernel(std::int64_t items, ChannelGatherShape s,
                                                                  const float* source, const std::int32_t* channels,
                                                                  float* target) {
  grid_items(items, [=](std::int64_t i) { target[i] = source[i / s.count * s.source_c + channels[i % s.count]]; });
}
void channel_gather(const ChannelGatherShape& s, const float* source, const std::int32_t* channels, float* target,
                    simt::NativeStream stream) {
  launch_pixels("channel gather", s.rows * s.count, false, stream, &channel_gather_kernel, &channel_gather_kernel, s,
                source, channels, target);
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

const bool registered = register_kernel<PoolForward>(Backend::kCuda, &pool_forward) &&
                        register_kernel<PoolBackward>(Backend::kCuda, &pool_backward) &&
                        register_kernel<ShortcutForward>(Backend::kCuda, &shortcut_forward) &&
                        register_kernel<ShortcutBackward>(Backend::kCuda, &shortcut_backward) &&
                        register_kernel<ChannelCopy>(Backend::kCuda, &channel_copy) &&
                        register_kernel<ChannelGather>(Backend::kCuda, &channel_gather) &&
                        register_kernel<Transpose>(Backend::kCuda, &transpose);

}  // namespace
}  // namespace hinge::kernels::cuda
