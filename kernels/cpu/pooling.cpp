#include "kernels/pooling.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/cpu/parallel.h"
#include "kernels/registry.h"

namespace hinge::kernels::cpu {
namespace {

// The part of the window of output (p, q) that lies inside the picture.
struct Window {
  std::int64_t h_begin, h_end, w_begin, w_end;
};
Window window_of(const PoolShape& s, std::int64_t p, std::int64_t q) {
  const std::int64_t top = p * s.stride - s.padding, left = q * s.stride - s.padding;
  return {std::max<std::int64_t>(0, top), std::min(s.h, top + s.window),
          std::max<std::int64_t>(0, left), std::min(s.w, left + s.window)};
}

template <class Body>
void for_inputs(const PoolShape& s, std::int64_t n, const Window& window, const Body& body) {
  for (std::int64_t h = window.h_begin; h < window.h_end; ++h) {
    for (std::int64_t w = window.w_begin; w < window.w_end; ++w) {
      body(((n * s.h + h) * s.w + w) * s.c);
    }
  }
}

void pool_forward(const PoolShape& s, const float* x, float* y) {
  const std::int64_t p_count = s.p(), q_count = s.q();
  const float share = 1.0f / static_cast<float>(s.window * s.window);
  parallel_ranges(s.n * p_count, q_count * s.c * s.window, [&](Range range) {
    for (std::int64_t row = range.begin; row < range.end; ++row) {
      const std::int64_t n = row / p_count, p = row % p_count;
      for (std::int64_t q = 0; q < q_count; ++q) {
        float* out = y + (row * q_count + q) * s.c;
        const Window window = window_of(s, p, q);
        if (s.kind == PoolKind::kMax) {
          std::fill_n(out, s.c, -std::numeric_limits<float>::infinity());
          for_inputs(s, n, window, [&](std::int64_t base) {
            // (out >= x ? out : x) takes over a NaN in x and never lets it go.
            for (std::int64_t c = 0; c < s.c; ++c) {
              out[c] = out[c] >= x[base + c] || out[c] != out[c] ? out[c] : x[base + c];
            }
          });
        } else {
          std::fill_n(out, s.c, 0.0f);
          for_inputs(s, n, window, [&](std::int64_t base) {
            for (std::int64_t c = 0; c < s.c; ++c) out[c] += x[base + c];
          });
          for (std::int64_t c = 0; c < s.c; ++c) out[c] *= share;
        }
      }
    }
  });
}

void pool_backward(const PoolShape& s, const float* dy, const float* x, const float* y, float* dx) {
  const std::int64_t p_count = s.p(), q_count = s.q();
  const float share = 1.0f / static_cast<float>(s.window * s.window);
  // One image per item: windows of different images never overlap, so threads never write the same element.
  parallel_ranges(s.n, s.h * s.w * s.c, [&](Range range) {
    for (std::int64_t n = range.begin; n < range.end; ++n) {
      std::fill_n(dx + n * s.h * s.w * s.c, s.h * s.w * s.c, 0.0f);
      for (std::int64_t p = 0; p < p_count; ++p) {
        for (std::int64_t q = 0; q < q_count; ++q) {
          const std::int64_t out = ((n * p_count + p) * q_count + q) * s.c;
          const Window window = window_of(s, p, q);
          if (s.kind == PoolKind::kAverage) {
            for_inputs(s, n, window, [&](std::int64_t base) {
              for (std::int64_t c = 0; c < s.c; ++c) dx[base + c] += share * dy[out + c];
            });
            continue;
          }
          for (std::int64_t c = 0; c < s.c; ++c) {
            bool given = false;
            for_inputs(s, n, window, [&](std::int64_t base) {
              if (given || x[base + c] != y[out + c]) return;
              dx[base + c] += dy[out + c];
              given = true;
            });
          }
        }
      }
    }
  });
}

void shortcut_forward(const ShortcutShape& s, const float* x, float* y) {
  const std::int64_t p_count = s.p(), q_count = s.q(), k = s.k();
  parallel_ranges(s.n * p_count, q_count * k, [&](Range range) {
    for (std::int64_t row = range.begin; row < range.end; ++row) {
      const std::int64_t n = row / p_count, p = row % p_count;
      for (std::int64_t q = 0; q < q_count; ++q) {
        float* out = y + (row * q_count + q) * k;
        const float* in = x + ((n * s.h + 2 * p) * s.w + 2 * q) * s.c;
        const float *right = in + s.c, *below = in + s.w * s.c, *diagonal = below + s.c;
        std::fill_n(out, s.before, 0.0f);
        for (std::int64_t c = 0; c < s.c; ++c) {
          out[s.before + c] =
              s.pool ? 0.25f * (in[c] + right[c] + below[c] + diagonal[c]) : in[c];
        }
        std::fill_n(out + s.before + s.c, s.after, 0.0f);
      }
    }
  });
}

void shortcut_backward(const ShortcutShape& s, const float* dy, float* dx) {
  const std::int64_t p_count = s.p(), q_count = s.q(), k = s.k();
  parallel_ranges(s.n * s.h, s.w * s.c, [&](Range range) {
    for (std::int64_t row = range.begin; row < range.end; ++row) {
      const std::int64_t n = row / s.h, h = row % s.h, p = h / 2;
      float* out = dx + row * s.w * s.c;
      std::fill_n(out, s.w * s.c, 0.0f);
      if (p >= p_count || (!s.pool && h % 2 != 0)) continue;
      for (std::int64_t q = 0; q < q_count; ++q) {
        const float* in = dy + ((n * p_count + p) * q_count + q) * k + s.before;
        float* left = out + 2 * q * s.c;
        if (s.pool) {
          for (std::int64_t c = 0; c < s.c; ++c) left[c] = left[s.c + c] = 0.25f * in[c];
        } else {
          std::copy_n(in, s.c, left);
        }
      }
    }
  });
}

void channel_copy(const ChannelCopyShape& s, const float* source, float* target) {
  parallel_ranges(s.rows, s.count, [&](Range range) {
    for (std::int64_t row = range.begin; row < range.end; ++row) {
      std::copy_n(source + row * s.source_c + s.source_first, s.count,
                  target + row * s.target_c + s.target_first);
    }
  });
}

void channel_gather(const ChannelGatherShape& s, const float* source, const std::int32_t* channels, float* target) {
  parallel_ranges(s.rows, s.count, [&](Range range) {
    for (std::int64_t row = range.begin; row < range.end; ++row) {
      for (std::int64_t j = 0; j < s.count; ++j) target[row * s.count + j] = source[row * s.source_c + channels[j]];
    }
  });
}

void transpose(const TransposeShape& s, const float* x, float* y) {
  parallel_ranges(s.n, s.a * s.b, [&](Range range) {
    for (std::int64_t n = range.begin; n < range.end; ++n) {
      const std::int64_t base = n * s.a * s.b;
      for (std::int64_t a = 0; a < s.a; ++a) {
        for (std::int64_t b = 0; b < s.b; ++b) y[base + b * s.a + a] = x[base + a * s.b + b];
      }
    }
  });
}

const bool registered = register_kernel<PoolForward>(Backend::kCpu, &pool_forward) &&
                        register_kernel<PoolBackward>(Backend::kCpu, &pool_backward) &&
                        register_kernel<ShortcutForward>(Backend::kCpu, &shortcut_forward) &&
                        register_kernel<ShortcutBackward>(Backend::kCpu, &shortcut_backward) &&
                        register_kernel<ChannelCopy>(Backend::kCpu, &channel_copy) &&
                        register_kernel<ChannelGather>(Backend::kCpu, &channel_gather) &&
                        register_kernel<Transpose>(Backend::kCpu, &transpose);

}  // namespace
}  // namespace hinge::kernels::cpu
