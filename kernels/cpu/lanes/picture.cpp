// Everything but convolutions on one block of images, and the way into and out of the layout.
#include <algorithm>

#include "kernels/cpu/lanes/vector.h"
#include "kernels/lanes.h"

namespace hinge::kernels::lanes {

int lanes_of(Lanes lanes) { return lanes == Lanes::kImages ? kLanes : 1; }

void load_images(std::int64_t count, std::int64_t features, const float* images, float* out) {
  for (std::int64_t f = 0; f < features; ++f) {
    for (std::int64_t n = 0; n < kLanes; ++n) out[f * kLanes + n] = n < count ? images[n * features + f] : 0.0f;
  }
}

void store_images(std::int64_t count, std::int64_t features, const float* in, float* images) {
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t f = 0; f < features; ++f) images[n * features + f] = in[f * kLanes + n];
  }
}

namespace {

template <class Element>
void max_row(const PoolShape& s, std::int64_t p, const Element* x, Element* y) {
  const std::int64_t top = p * s.stride - s.padding, h0 = std::max<std::int64_t>(top, 0), h1 = std::min(top + s.window, s.h);
  for (std::int64_t q = 0; q < s.q(); ++q, y += s.c) {
    const std::int64_t left = q * s.stride - s.padding, w0 = std::max<std::int64_t>(left, 0), w1 = std::min(left + s.window, s.w);
    std::fill_n(y, s.c, Element{} - std::numeric_limits<float>::infinity());
    for (std::int64_t h = h0; h < h1; ++h) {
      for (std::int64_t w = w0; w < w1; ++w) {
        const Element* pixel = x + (h * s.w + w) * s.c;
        for (std::int64_t c = 0; c < s.c; ++c) y[c] = pixel[c] <= y[c] ? y[c] : pixel[c];  // NaN wins
      }
    }
  }
}

template <class Element>
void average_row(const PoolShape& s, std::int64_t p, const Element* x, Element* y) {
  const float scale = 1.0f / static_cast<float>(s.window * s.window);
  const std::int64_t top = p * s.stride - s.padding, h0 = std::max<std::int64_t>(top, 0), h1 = std::min(top + s.window, s.h);
  for (std::int64_t q = 0; q < s.q(); ++q, y += s.c) {
    const std::int64_t left = q * s.stride - s.padding, w0 = std::max<std::int64_t>(left, 0), w1 = std::min(left + s.window, s.w);
    std::fill_n(y, s.c, Element{});
    for (std::int64_t h = h0; h < h1; ++h) {
      for (std::int64_t w = w0; w < w1; ++w) {
        const Element* pixel = x + (h * s.w + w) * s.c;
        for (std::int64_t c = 0; c < s.c; ++c) y[c] += pixel[c];
      }
    }
    for (std::int64_t c = 0; c < s.c; ++c) y[c] = y[c] * scale;
  }
}

template <class Element>
void shortcut_row(const ShortcutShape& s, std::int64_t p, const Element* x, Element* y) {
  for (std::int64_t q = 0; q < s.q(); ++q) {
    const Element* pixel = x + (2 * p * s.w + 2 * q) * s.c;
    y = std::fill_n(y, s.before, Element{});
    for (std::int64_t c = 0; c < s.c; ++c) {
      *y++ = s.pool ? 0.25f * ((pixel[c] + pixel[s.c + c]) + (pixel[s.w * s.c + c] + pixel[(s.w + 1) * s.c + c])) : pixel[c];
    }
    y = std::fill_n(y, s.after, Element{});
  }
}

}  // namespace

void pool(Lanes lanes, const PoolShape& s, const float* x, float* y, Rows rows) {
  with_element(lanes, [&]<class Element>(Element) {
    for (std::int64_t p = rows.begin; p < rows.end; ++p) {
      const auto row = s.kind == PoolKind::kMax ? &max_row<Element> : &average_row<Element>;
      row(s, p, as<Element>(x), as<Element>(y) + p * s.q() * s.c);
    }
  });
}

void global_average(Lanes lanes, std::int64_t pixels, std::int64_t c, const float* x, float* y) {
  with_element(lanes, [&]<class Element>(Element) {
    Element* sums = as<Element>(y);
    std::fill_n(sums, c, Element{});
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::int64_t i = 0; i < c; ++i) sums[i] += as<Element>(x)[pixel * c + i];
    }
    for (std::int64_t i = 0; i < c; ++i) sums[i] = sums[i] * (1.0f / static_cast<float>(pixels));
  });
}

void shortcut_a(Lanes lanes, const ShortcutShape& s, const float* x, float* y, Rows rows) {
  with_element(lanes, [&]<class Element>(Element) {
    for (std::int64_t p = rows.begin; p < rows.end; ++p) shortcut_row(s, p, as<Element>(x), as<Element>(y) + p * s.q() * s.k());
  });
}

void add(std::int64_t floats, const float* a, const float* b, Clamp clamp, float* y) {
  for (std::int64_t i = 0; i < floats; ++i) y[i] = clamped(a[i] + b[i], clamp);
}

void clamp(std::int64_t floats, const float* x, Clamp clamp, float* y) {
  for (std::int64_t i = 0; i < floats; ++i) y[i] = clamped(x[i], clamp);
}

void scale_shift(Lanes lanes, std::int64_t pixels, std::int64_t c, const float* x, const float* scale, const float* shift, const float* residual,
                 Clamp clamp, float* y) {
  with_element(lanes, [&]<class Element>(Element) {
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::int64_t i = 0; i < c; ++i) {
        const std::int64_t at = pixel * c + i;
        Element value = as<Element>(x)[at] * scale[i] + shift[i];
        if (residual != nullptr) value += as<Element>(residual)[at];
        as<Element>(y)[at] = clamped(value, clamp);
      }
    }
  });
}

void copy_channels(Lanes lanes, std::int64_t pixels, std::int64_t count, const float* x, std::int64_t c, std::int64_t first, float* y) {
  with_element(lanes, [&]<class Element>(Element) {
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) std::copy_n(as<Element>(x) + pixel * count, count, as<Element>(y) + pixel * c + first);
  });
}

void flatten(Lanes lanes, std::int64_t pixels, std::int64_t c, const float* x, float* y) {
  with_element(lanes, [&]<class Element>(Element) {
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::int64_t i = 0; i < c; ++i) as<Element>(y)[i * pixels + pixel] = as<Element>(x)[pixel * c + i];
    }
  });
}

}  // namespace hinge::kernels::lanes
