// Convolutions and matrix products: bound by arithmetic where the layer is wide.
#include "engine/infer/pair_form.h"
#include "kernels/conv2d.h"
#include "kernels/gemm.h"
#include "kernels/math_mode.h"
#include "kernels/registry.h"
#include "tools/bench/case_run.h"

namespace hinge::bench {
namespace {

using namespace kernels;

constexpr std::int64_t kLooks = 200;  // results that are recomputed in float64

std::string conv_text(const ConvShape& s) {
  return fmt::format("{}x{} {}->{} on {}x{}x{}{}{}", s.r, s.s, s.c, s.k, s.n, s.h, s.w, s.stride > 1 ? fmt::format(" stride {}", s.stride) : "", s.groups > 1 ? fmt::format(" groups {}", s.groups) : "");
}

template <class T>
double conv_bytes(const ConvShape& s) { return sizeof(T) * static_cast<double>(s.input_size() + s.filter_size() + s.output_size()); }

// The tensor cores round a float to 10 bits of mantissa, up or down: 2^-10 of a product of two.
template <class T>
double read_rounded(Device device) { return kIsFloat<T> && math_mode().tf32 && !device.is_cpu() ? 0x1p-10 : 0.0; }

// Calls visit(input index, filter index) for every product that is added up in one output.
template <class Visit>
void products_of_output(const ConvShape& s, std::int64_t out, const Visit& visit) {
  const std::int64_t k = out % s.k, q = out / s.k % s.q(), p = out / s.k / s.q() % s.p(), n = out / s.k / s.q() / s.p();
  const std::int64_t per_group = s.c / s.groups, first = k / (s.k / s.groups) * per_group;
  for (std::int64_t r = 0; r < s.r; ++r) {
    for (std::int64_t t = 0; t < s.s; ++t) {
      const std::int64_t h = p * s.stride - s.padding + r, w = q * s.stride - s.padding + t;
      if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
      for (std::int64_t c = 0; c < per_group; ++c) {
        visit(((n * s.h + h) * s.w + w) * s.c + first + c, ((k * s.r + r) * s.s + t) * per_group + c);
      }
    }
  }
}
template <class T>
KernelCase forward(const ConvShape& s) {
  return {"conv2d " + conv_text(s) + kTypeText<T>, "convolution", conv_bytes<T>(s), 2.0 * static_cast<double>(s.macs()), [=](Device device, std::uint64_t seed) {
            const Tensor x = random_numbers<T>(s.input_size(), seed), w = random_numbers<T>(s.filter_size(), seed + 1), xd = to_device<T>(x, device), wd = to_device<T>(w, device);
            Tensor y = unwritten<T>(s.output_size(), device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable { dispatch<Conv2dForwardOf<T>>(on, s, xd.data<T>(), wd.data<T>(), static_cast<const float*>(nullptr), y.mutable_data<T>()); },
                [=] {
                  const Tensor got = to_host(y);
                  Errors errors(kStored<T>, read_rounded<T>(device));
                  for (std::int64_t i = 0; i < s.output_size(); i += stride_for(s.output_size(), kLooks)) {
                    double sum = 0.0, size = 0.0;
                    products_of_output(s, i, [&](std::int64_t in, std::int64_t filter) {
                      const double term = wide(x.data()[in]) * wide(w.data()[filter]);
                      sum += term, size += std::fabs(term);
                    });
                    errors.add("y", i, got.data()[i], sum, size + 1e-3, 16.0);
                  }
                  return errors.text();
                });
          },
          kIsFloat<T>};
}

// With biases, and a residual and ReLU behind it, as compression leaves it in a residual network.
KernelCase low_rank_pair(const ConvShape& s, std::int64_t k, PairForm form) {
  const LowRankPairShape shape{s, k, {}, {.low = 0.0f}};
  const std::int64_t outputs = shape.pixels() * k;
  const double bytes = 4.0 * static_cast<double>(s.input_size() + s.filter_size() + k * s.k + 2 * outputs);
  return {fmt::format("low-rank pair {} ->{}, {}", conv_text(s), k, name_of(form)), "convolution", bytes, 2.0 * static_cast<double>(shape.macs()), [=](Device device, std::uint64_t seed) {
            const Tensor x = random_floats(s.input_size(), seed), u = random_floats(s.filter_size(), seed + 1), b = random_floats(s.k, seed + 2);
            const Tensor v = random_floats(k * s.k, seed + 3), d = random_floats(k, seed + 4), z = random_floats(outputs, seed + 5);
            const Tensor xd = x.to(device), ud = u.to(device), bd = b.to(device), vd = v.to(device), dd = d.to(device), zd = z.to(device);
            Tensor y = unwritten(outputs, device), between = unwritten(std::max<std::int64_t>(1, scratch_floats(form, shape)), device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable { run_pair(form, shape, {xd.data(), ud.data(), bd.data(), vd.data(), dd.data(), zd.data()}, between.mutable_data(), y.mutable_data(), on); },
                [=] {
                  const Tensor got = y.to(Device{});
                  Errors errors(0.0, form == PairForm::kTwoCalls ? 2.0 * read_rounded<float>(device) : 0.0);
                  for (std::int64_t i = 0; i < outputs; i += stride_for(outputs, kLooks)) {
                    double sum = wide(d.data()[i % k]) + wide(z.data()[i]), size = 2.0;
                    for (std::int64_t m = 0; m < s.k; ++m) {
                      const double factor = wide(v.data()[i % k * s.k + m]);
                      sum += factor * wide(b.data()[m]), size += std::fabs(factor);
                      products_of_output(s, i / k * s.k + m, [&](std::int64_t in, std::int64_t filter) {
                        const double term = factor * wide(x.data()[in]) * wide(u.data()[filter]);
                        sum += term, size += std::fabs(term);
                      });
                    }
                    errors.add("y", i, got.data()[i], std::max(0.0, sum), size, 16.0);
                  }
                  return errors.text();
                });
          },
          form != PairForm::kFused};  // the CPU's is a reference; inference there fuses pairs in other ways
}

template <class T>
KernelCase backward_data(const ConvShape& s) {
  return {"conv2d backward data " + conv_text(s) + kTypeText<T>, "convolution", conv_bytes<T>(s), 2.0 * static_cast<double>(s.macs()), [=](Device device, std::uint64_t seed) {
            const Tensor dy = random_numbers<T>(s.output_size(), seed), w = random_numbers<T>(s.filter_size(), seed + 1), dyd = to_device<T>(dy, device), wd = to_device<T>(w, device);
            Tensor dx = unwritten<T>(s.input_size(), device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable { dispatch<Conv2dBackwardDataOf<T>>(on, s, dyd.data<T>(), wd.data<T>(), dx.mutable_data<T>()); },
                [=] {
                  const Tensor got = to_host(dx);
                  Errors errors(kStored<T>, read_rounded<T>(device));
                  // One image's gradient from all of its outputs.
                  const std::int64_t image = s.n - 1, outputs = s.output_size() / s.n, inputs = s.input_size() / s.n;
                  std::vector<double> sum(static_cast<std::size_t>(inputs), 0.0), size(sum);
                  for (std::int64_t o = image * outputs; o < (image + 1) * outputs; ++o) {
                    products_of_output(s, o, [&](std::int64_t in, std::int64_t filter) {
                      const double term = wide(dy.data()[o]) * wide(w.data()[filter]);
                      sum[static_cast<std::size_t>(in - image * inputs)] += term;
                      size[static_cast<std::size_t>(in - image * inputs)] += std::fabs(term);
                    });
                  }
                  for (std::int64_t i = 0; i < inputs; ++i) errors.add("dx", i, got.data()[image * inputs + i], sum[static_cast<std::size_t>(i)], size[static_cast<std::size_t>(i)] + 1e-3, 16.0);
                  return errors.text();
                });
          },
          kIsFloat<T>};
}

template <class T>
KernelCase backward_weights(const ConvShape& s) {
  return {"conv2d backward weights " + conv_text(s) + kTypeText<T>, "convolution", conv_bytes<T>(s), 2.0 * static_cast<double>(s.macs()), [=](Device device, std::uint64_t seed) {
            const Tensor x = random_numbers<T>(s.input_size(), seed), dy = random_numbers<T>(s.output_size(), seed + 1), xd = to_device<T>(x, device), dyd = to_device<T>(dy, device);
            Tensor dw = unwritten<T>(s.filter_size(), device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable { dispatch<Conv2dBackwardWeightsOf<T>>(on, s, xd.data<T>(), dyd.data<T>(), dw.mutable_data<T>(), static_cast<float*>(nullptr)); },
                [=] {
                  const Tensor got = to_host(dw);
                  Errors errors(kStored<T>, read_rounded<T>(device));
                  const std::int64_t per_filter = s.filter_size() / s.k;
                  // A few filters whole, from every output of theirs.
                  for (std::int64_t k = 0; k < s.k; k += stride_for(s.k, 2)) {
                    std::vector<double> sum(static_cast<std::size_t>(per_filter), 0.0), size(sum);
                    for (std::int64_t o = k; o < s.output_size(); o += s.k) {
                      products_of_output(s, o, [&](std::int64_t in, std::int64_t filter) {
                        const double term = wide(x.data()[in]) * wide(dy.data()[o]);
                        sum[static_cast<std::size_t>(filter - k * per_filter)] += term;
                        size[static_cast<std::size_t>(filter - k * per_filter)] += std::fabs(term);
                      });
                    }
                    for (std::int64_t i = 0; i < per_filter; ++i) errors.add("dw", k * per_filter + i, got.data()[k * per_filter + i], sum[static_cast<std::size_t>(i)], size[static_cast<std::size_t>(i)] + 1e-3, 16.0);
                  }
                  return errors.text();
                });
          },
          kIsFloat<T>};
}

// y [m, n] = a [m, k] b [n, k]^T, as a linear layer has it.
KernelCase gemm(std::int64_t m, std::int64_t n, std::int64_t k) {
  const GemmShape s{.m = m, .n = n, .k = k, .transpose_b = true};
  return {fmt::format("gemm {}x{}x{}", m, n, k), "product", 4.0 * static_cast<double>(m * k + n * k + m * n), 2.0 * static_cast<double>(m) * static_cast<double>(n * k), [=](Device device, std::uint64_t seed) {
            const Tensor a = random_floats(m * k, seed), b = random_floats(n * k, seed + 1), ad = a.to(device), bd = b.to(device);
            Tensor c = unwritten(m * n, device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable { dispatch<Gemm>(on, s, ad.data(), bd.data(), c.mutable_data()); },
                [=] {
                  const Tensor got = c.to(Device{});
                  Errors errors(0.0, read_rounded<float>(device));
                  for (std::int64_t i = 0; i < m * n; i += stride_for(m * n, kLooks)) {
                    double sum = 0.0, size = 0.0;
                    for (std::int64_t j = 0; j < k; ++j) {
                      const double term = wide(a.data()[i / n * k + j]) * wide(b.data()[i % n * k + j]);
                      sum += term, size += std::fabs(term);
                    }
                    errors.add("c", i, got.data()[i], sum, size, 16.0);
                  }
                  return errors.text();
                });
          }};
}

}  // namespace

void add_product_cases(std::vector<KernelCase>& cases, CaseSize size) {
  const auto add = [&]<class T>(T, const ConvShape& s) { cases.push_back(forward<T>(s)), cases.push_back(backward_data<T>(s)), cases.push_back(backward_weights<T>(s)); };
  const auto conv = [&](const ConvShape& s) { add(float{}, s), add(Bfloat16{}, s); };
  const auto pair = [&](const ConvShape& s, std::int64_t k) { cases.push_back(low_rank_pair(s, k, PairForm::kFused)), cases.push_back(low_rank_pair(s, k, PairForm::kTwoCalls)); };
  if (size == CaseSize::kSmall) {
    conv({.n = 2, .h = 5, .w = 7, .c = 3, .k = 33, .r = 3, .s = 3, .padding = 1});
    conv({.n = 1, .h = 8, .w = 8, .c = 16, .k = 8, .r = 1, .s = 1});
    conv({.n = 2, .h = 9, .w = 9, .c = 8, .k = 8, .r = 3, .s = 3, .stride = 2, .padding = 1, .groups = 4});
    cases.push_back(gemm(33, 129, 31));
    pair({.n = 2, .h = 5, .w = 7, .c = 3, .k = 7, .r = 3, .s = 3, .padding = 1}, 33);
    pair({.n = 3, .h = 8, .w = 8, .c = 16, .k = 33, .r = 3, .s = 3, .stride = 2, .padding = 1}, 32);
    return;
  }
  conv({.n = 128, .h = 32, .w = 32, .c = 16, .k = 16, .r = 3, .s = 3, .padding = 1});               // ResNet-20, first stage
  conv({.n = 128, .h = 8, .w = 8, .c = 64, .k = 64, .r = 3, .s = 3, .padding = 1});                 // third stage
  conv({.n = 32, .h = 14, .w = 14, .c = 1024, .k = 256, .r = 1, .s = 1});                           // ResNet-50, a reduction
  conv({.n = 32, .h = 28, .w = 28, .c = 128, .k = 128, .r = 3, .s = 3, .padding = 1});              // ResNet-50, second stage
  conv({.n = 32, .h = 32, .w = 32, .c = 64, .k = 64, .r = 3, .s = 3, .padding = 1, .groups = 32});  // ResNeXt-20
  pair({.n = 128, .h = 32, .w = 32, .c = 16, .k = 8, .r = 3, .s = 3, .padding = 1}, 16);            // ResNet-56, first stage, half of the rank
  pair({.n = 128, .h = 8, .w = 8, .c = 64, .k = 24, .r = 3, .s = 3, .padding = 1}, 64);             // third stage
  pair({.n = 32, .h = 28, .w = 28, .c = 128, .k = 48, .r = 3, .s = 3, .padding = 1}, 128);          // ResNet-50, second stage
  cases.push_back(gemm(128, 1000, 2048));
  cases.push_back(gemm(2048, 2048, 2048));
}

}  // namespace hinge::bench
