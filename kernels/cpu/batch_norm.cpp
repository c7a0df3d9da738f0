// Batch normalisation on the CPU. Rows are read in tiles that stay in the first-level cache; within a tile, blocks
// of 16 channels keep their sums in registers; tiles are added up in double.
#include "kernels/batch_norm.h"

#include <cmath>
#include <cstddef>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/registry.h"

namespace hinge::kernels::cpu {
namespace {

constexpr int kBlock = 16;               // channels: two AVX or one AVX-512 register
constexpr std::int64_t kTileRows = 128;  // 128 rows x 16 channels x 4 bytes = 8 KiB per operand

// Calls body.template operator()<width>(first_channel, width) so that full blocks have a constant width.
template <class Body>
void for_channel_blocks(std::int64_t c, const Body& body) {
  std::int64_t first = 0;
  for (; first + kBlock <= c; first += kBlock) body(first, std::integral_constant<int, kBlock>{});
  if (first < c) body(first, static_cast<int>(c - first));
}

// Two sums per channel over all rows: add(row_offset + channel, channel, sum0, sum1) accumulates one element.
template <class Add>
void channel_sums(std::int64_t rows, std::int64_t c, double* total0, double* total1,
                  const Add& add) {
  std::vector<double> partial(static_cast<std::size_t>(2 * c * kSumParts), 0.0);
  parallel_parts(rows, [&](int part, Range range) {
    double* sum0 = partial.data() + 2 * c * part;
    double* sum1 = sum0 + c;
    for (std::int64_t tile = range.begin; tile < range.end; tile += kTileRows) {
      const std::int64_t end = std::min(range.end, tile + kTileRows);
      for_channel_blocks(c, [&](std::int64_t first, auto width) {
        float s0[kBlock] = {}, s1[kBlock] = {};
        for (std::int64_t row = tile; row < end; ++row) {
          const std::int64_t base = row * c + first;
#pragma omp simd
          for (int j = 0; j < width; ++j) add(base + j, first + j, s0[j], s1[j]);
        }
        for (int j = 0; j < width; ++j) sum0[first + j] += s0[j], sum1[first + j] += s1[j];
      });
    }
  });
  std::fill_n(total0, c, 0.0);
  std::fill_n(total1, c, 0.0);
  for (int part = 0; part < kSumParts; ++part) {
    for (std::int64_t j = 0; j < c; ++j) {
      total0[j] += partial[static_cast<std::size_t>(2 * c * part + j)];
      total1[j] += partial[static_cast<std::size_t>(2 * c * part + c + j)];
    }
  }
}

void statistics(const BatchNormShape& s, const float* x, float* mean, float* var) {
  // Sums are taken of x - x[0, c]: close to the mean, so that the square of a large mean cancels nothing.
  std::vector<double> sum(static_cast<std::size_t>(s.c)), squares(sum.size());
  channel_sums(s.rows, s.c, sum.data(), squares.data(),
               [x](std::int64_t i, std::int64_t channel, float& s0, float& s1) {
                 const float centred = x[i] - x[channel];
                 s0 += centred;
                 s1 += centred * centred;
               });
  const double inverse = 1.0 / static_cast<double>(s.rows);
  for (std::int64_t j = 0; j < s.c; ++j) {
    const auto u = static_cast<std::size_t>(j);
    const double shift = sum[u] * inverse;
    mean[j] = static_cast<float>(shift + static_cast<double>(x[j]));
    var[j] = static_cast<float>(std::fmax(0.0, squares[u] * inverse - shift * shift));
    if (std::isnan(squares[u])) var[j] = NAN;  // fmax would hide it
  }
}

template <bool kResidual, bool kRelu>
void apply_rows(const BatchNormShape& s, const float* x, const float* scale, const float* shift,
                const float* z, float* y) {
  parallel_ranges(s.rows, s.c, [&](Range range) {
    for (std::int64_t row = range.begin; row < range.end; ++row) {
      const std::int64_t base = row * s.c;
#pragma omp simd
      for (std::int64_t j = 0; j < s.c; ++j) {
        float value = x[base + j] * scale[j] + shift[j];
        if (kResidual) value += z[base + j];
        // (value <= 0 ? 0 : value) keeps NaN visible, max(0, NaN) would hide it.
        y[base + j] = kRelu ? (value <= 0.0f ? 0.0f : value) : value;
      }
    }
  });
}

void apply(const BatchNormShape& s, const float* x, const float* scale, const float* shift,
           const float* z, float* y) {
  if (z != nullptr) {
    s.relu ? apply_rows<true, true>(s, x, scale, shift, z, y)
           : apply_rows<true, false>(s, x, scale, shift, z, y);
  } else {
    s.relu ? apply_rows<false, true>(s, x, scale, shift, z, y)
           : apply_rows<false, false>(s, x, scale, shift, z, y);
  }
}

template <bool kRelu>
void backward_rows(const BatchNormShape& s, const float* dy, const float* x, const float* y,
                   const float* mean, const float* rstd, const float* gamma, bool batch_statistics,
                   const BatchNormGradients& grad) {
  // dy is loaded before the comparison: a load that may not happen can't be vectorised.
  const auto masked = [=](std::int64_t i) {
    const float d = dy[i];
    return kRelu ? (y[i] > 0.0f ? d : 0.0f) : d;
  };
  std::vector<double> sum_dy(static_cast<std::size_t>(s.c)), sum_dy_x(sum_dy.size());
  channel_sums(s.rows, s.c, sum_dy.data(), sum_dy_x.data(),
               [=](std::int64_t i, std::int64_t channel, float& s0, float& s1) {
                 const float d = masked(i);
                 s0 += d;
                 s1 += d * (x[i] - mean[channel]);
               });
  // dx = gamma rstd (dy - mean(dy) - xhat mean(dy xhat)) = a dy + b x + d with constants per channel.
  std::vector<float> a(sum_dy.size()), b(sum_dy.size()), d(sum_dy.size());
  const double inverse = 1.0 / static_cast<double>(s.rows);
  for (std::size_t j = 0; j < sum_dy.size(); ++j) {
    grad.dbeta[j] = static_cast<float>(sum_dy[j]);
    grad.dgamma[j] = static_cast<float>(sum_dy_x[j] * static_cast<double>(rstd[j]));
    const double scale = static_cast<double>(gamma[j]) * static_cast<double>(rstd[j]);
    const double slope = batch_statistics ? -scale * sum_dy_x[j] * inverse *
                                                static_cast<double>(rstd[j]) *
                                                static_cast<double>(rstd[j])
                                          : 0.0;
    a[j] = static_cast<float>(scale);
    b[j] = static_cast<float>(slope);
    d[j] = batch_statistics ? static_cast<float>(-scale * sum_dy[j] * inverse) : 0.0f;
  }
  if (grad.dx == nullptr && grad.dz == nullptr) return;
  const float *pa = a.data(), *pb = b.data(), *pd = d.data();
  parallel_ranges(s.rows, s.c, [&](Range range) {
    for (std::int64_t row = range.begin; row < range.end; ++row) {
      const std::int64_t base = row * s.c;
      if (grad.dz != nullptr) {
        float* dz = grad.dz;
#pragma omp simd
        for (std::int64_t j = 0; j < s.c; ++j) dz[base + j] = masked(base + j);
      }
      if (grad.dx == nullptr) continue;
      float* dx = grad.dx;
#pragma omp simd
      for (std::int64_t j = 0; j < s.c; ++j) {
        dx[base + j] = pa[j] * masked(base + j) + pb[j] * (x[base + j] - mean[j]) + pd[j];
      }
    }
  });
}

void backward(const BatchNormShape& s, const float* dy, const float* x, const float* y,
              const float* mean, const float* rstd, const float* gamma, bool batch_statistics,
              const BatchNormGradients& grad) {
  s.relu ? backward_rows<true>(s, dy, x, y, mean, rstd, gamma, batch_statistics, grad)
         : backward_rows<false>(s, dy, x, y, mean, rstd, gamma, batch_statistics, grad);
}

void prepare(std::int64_t c, const BatchNormUpdate& update, const float* mean, const float* var, const float* gamma,
             const float* beta, const BatchNormConstants& out) {
  for (std::int64_t j = 0; j < c; ++j) prepare_channel(j, update, mean, var, gamma, beta, out);
}

const bool registered = register_kernel<BatchNormStatistics>(Backend::kCpu, &statistics) &&
                        register_kernel<BatchNormPrepare>(Backend::kCpu, &prepare) &&
                        register_kernel<BatchNormApply>(Backend::kCpu, &apply) &&
                        register_kernel<BatchNormBackward>(Backend::kCpu, &backward);

}  // namespace
}  // namespace hinge::kernels::cpu
