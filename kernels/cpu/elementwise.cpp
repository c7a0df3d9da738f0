#include "kernels/elementwise.h"

#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/philox.h"
#include "kernels/registry.h"

namespace hinge::kernels::cpu {
namespace {

template <class Body>
void each(std::int64_t size, const Body& body) {
  parallel_ranges(size, 1, [&](Range range) {
#pragma omp simd
    for (std::int64_t i = range.begin; i < range.end; ++i) body(i);
  });
}

void relu_forward(std::int64_t size, const float* x, float* y) {
  each(size, [=](std::int64_t i) { y[i] = x[i] <= 0.0f ? 0.0f : x[i]; });
}
void relu_backward(std::int64_t size, const float* dy, const float* y, float* dx) {
  each(size, [=](std::int64_t i) {
    const float d = dy[i];
    dx[i] = y[i] > 0.0f ? d : 0.0f;
  });
}
void capped_relu_forward(std::int64_t size, float ceiling, const float* x, float* y) {
  each(size, [=](std::int64_t i) {
    const float value = x[i] <= 0.0f ? 0.0f : x[i];
    y[i] = value >= ceiling ? ceiling : value;
  });
}
void capped_relu_backward(std::int64_t size, float ceiling, const float* dy, const float* y, float* dx) {
  each(size, [=](std::int64_t i) {
    const float d = dy[i];
    dx[i] = (y[i] > 0.0f) & (y[i] < ceiling) ? d : 0.0f;
  });
}
void add(std::int64_t size, const float* a, const float* b, float* c) {
  each(size, [=](std::int64_t i) { c[i] = a[i] + b[i]; });
}
void scale(std::int64_t size, float factor, const float* x, float* y) {
  each(size, [=](std::int64_t i) { y[i] = factor * x[i]; });
}
void scale_by(std::int64_t size, const float* factor, const float* x, float* y) { scale(size, *factor, x, y); }
void approach(std::int64_t size, float share, const float* x, float* y) {
  each(size, [=](std::int64_t i) { y[i] += share * (x[i] - y[i]); });
}
void fill(std::int64_t size, float value, float* y) {
  each(size, [=](std::int64_t i) { y[i] = value; });
}
void bias_add(std::int64_t rows, std::int64_t c, const float* x, const float* bias, float* y) {
  parallel_ranges(rows, c, [=](Range range) {
    for (std::int64_t row = range.begin; row < range.end; ++row) {
      for (std::int64_t j = 0; j < c; ++j) y[row * c + j] = x[row * c + j] + bias[j];
    }
  });
}
void bias_relu(std::int64_t rows, std::int64_t c, const float* x, const float* bias, float* y) {
  bias_add(rows, c, x, bias, y);
  relu_forward(rows * c, y, y);
}
void bias_backward(std::int64_t rows, std::int64_t c, const float* dy, float* dbias) {
  std::vector<double> sums(static_cast<std::size_t>(c), 0.0);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t j = 0; j < c; ++j) {
      sums[static_cast<std::size_t>(j)] += static_cast<double>(dy[row * c + j]);
    }
  }
  for (std::int64_t j = 0; j < c; ++j) dbias[j] = static_cast<float>(sums[static_cast<std::size_t>(j)]);
}

void dropout(const DropoutShape& s, const float* x, float* y) {
  const float keep_scale = 1.0f / (1.0f - s.rate);
  const std::int64_t begin = s.first / 4, end = (s.first + s.size + 3) / 4;  // one Philox call makes four numbers
  parallel_ranges(end - begin, 32, [=](Range range) {
    for (std::int64_t quad = begin + range.begin; quad < begin + range.end; ++quad) {
      const PhiloxWords words =
          random_words(s.seed ^ (static_cast<std::uint64_t>(s.layer) << 32), RandomUse::kDropout,
                       s.step, static_cast<std::uint64_t>(quad));
      for (std::int64_t i = std::max(s.first, quad * 4); i < std::min(s.first + s.size, quad * 4 + 4); ++i) {
        const bool keep = uniform(words.word[i % 4]) >= s.rate;
        y[i - s.first] = keep ? x[i - s.first] * keep_scale : 0.0f;
      }
    }
  });
}

const bool registered = register_kernel<ReluForward>(Backend::kCpu, &relu_forward) &&
                        register_kernel<ReluBackward>(Backend::kCpu, &relu_backward) &&
                        register_kernel<CappedReluForward>(Backend::kCpu, &capped_relu_forward) &&
                        register_kernel<CappedReluBackward>(Backend::kCpu, &capped_relu_backward) &&
                        register_kernel<Add>(Backend::kCpu, &add) &&
                        register_kernel<Scale>(Backend::kCpu, &scale) &&
                        register_kernel<ScaleBy>(Backend::kCpu, &scale_by) &&
                        register_kernel<Approach>(Backend::kCpu, &approach) &&
                        register_kernel<Fill>(Backend::kCpu, &fill) &&
                        register_kernel<BiasAdd>(Backend::kCpu, &bias_add) &&
                        register_kernel<BiasRelu>(Backend::kCpu, &bias_relu) &&
                        register_kernel<BiasBackward>(Backend::kCpu, &bias_backward) &&
                        register_kernel<Dropout>(Backend::kCpu, &dropout);

}  // namespace
}  // namespace hinge::kernels::cpu
