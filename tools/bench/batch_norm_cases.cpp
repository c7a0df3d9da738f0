// BatchNorm's three passes over memory: statistics, output (with residual and ReLU), gradient.
#include "kernels/batch_norm.h"

#include "kernels/registry.h"
#include "tools/bench/case_run.h"

namespace hinge::bench {
namespace {

using namespace kernels;

template <class T>
std::string shape_text(std::int64_t rows, std::int64_t c) { return fmt::format("{}x{}{}", rows, c, kTypeText<T>); }

template <class T>
KernelCase statistics(std::int64_t rows, std::int64_t c) {
  const auto size = static_cast<double>(rows * c);
  return {"batch norm statistics " + shape_text<T>(rows, c), "batch norm", sizeof(T) * size, 3.0 * size, [=](Device device, std::uint64_t seed) {
            const Tensor x = random_numbers<T>(rows * c, seed, 9.0f, 11.0f), xd = to_device<T>(x, device);
            Tensor mean = unwritten(c, device), var = unwritten(c, device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable { dispatch<BatchNormStatisticsOf<T>>(on, BatchNormShape{rows, c}, xd.data<T>(), mean.mutable_data(), var.mutable_data()); },
                [=] {
                  const Tensor m = mean.to(Device{}), v = var.to(Device{});
                  std::vector<double> sums(static_cast<std::size_t>(c), 0.0), squares(sums);
                  for (std::int64_t i = 0; i < rows * c; ++i) sums[static_cast<std::size_t>(i % c)] += wide(x.data()[i]) / static_cast<double>(rows);
                  for (std::int64_t i = 0; i < rows * c; ++i) {
                    const double centred = wide(x.data()[i]) - sums[static_cast<std::size_t>(i % c)];
                    squares[static_cast<std::size_t>(i % c)] += centred * centred / static_cast<double>(rows);
                  }
                  Errors errors;
                  for (std::int64_t j = 0; j < c; ++j) {
                    errors.add("mean", j, m.data()[j], sums[static_cast<std::size_t>(j)], 11.0, 16.0);
                    errors.add("var", j, v.data()[j], squares[static_cast<std::size_t>(j)], 4.0, 16.0);
                  }
                  return errors.text();
                });
          },
          kIsFloat<T>};
}

template <class T>
KernelCase apply(std::int64_t rows, std::int64_t c) {
  const auto size = static_cast<double>(rows * c);
  return {"batch norm, add and relu " + shape_text<T>(rows, c), "batch norm", 3.0 * sizeof(T) * size, 4.0 * size, [=](Device device, std::uint64_t seed) {
            const Tensor x = random_numbers<T>(rows * c, seed), z = random_numbers<T>(rows * c, seed + 1), a = random_floats(c, seed + 2), b = random_floats(c, seed + 3);
            const Tensor xd = to_device<T>(x, device), zd = to_device<T>(z, device), ad = a.to(device), bd = b.to(device);
            Tensor y = unwritten<T>(rows * c, device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable { dispatch<BatchNormApplyOf<T>>(on, BatchNormShape{rows, c, true}, xd.data<T>(), ad.data(), bd.data(), zd.data<T>(), y.mutable_data<T>()); },
                [=] {
                  const Tensor got = to_host(y);
                  Errors errors(kStored<T>);
                  for (std::int64_t i = 0; i < rows * c; ++i) {
                    const double value = wide(x.data()[i]) * wide(a.data()[i % c]) + wide(b.data()[i % c]) + wide(z.data()[i]);
                    errors.add("y", i, got.data()[i], std::max(0.0, value), 3.0, 1.0);
                  }
                  return errors.text();
                });
          },
          kIsFloat<T>};
}

template <class T>
KernelCase backward(std::int64_t rows, std::int64_t c) {
  const auto size = static_cast<double>(rows * c);
  // dy, x and y are read for the sums and again for dx: two passes are the least.
  return {"batch norm backward " + shape_text<T>(rows, c), "batch norm", 7.0 * sizeof(T) * size, 9.0 * size, [=](Device device, std::uint64_t seed) {
            const Tensor x = random_numbers<T>(rows * c, seed), dy = random_numbers<T>(rows * c, seed + 1), y = random_numbers<T>(rows * c, seed + 2), gamma = random_floats(c, seed + 3, 0.5f, 1.5f);
            const Tensor mean = random_floats(c, seed + 4, -0.1f, 0.1f), rstd = random_floats(c, seed + 5, 1.0f, 2.0f);
            const Tensor xd = to_device<T>(x, device), dyd = to_device<T>(dy, device), yd = to_device<T>(y, device), gd = gamma.to(device), md = mean.to(device), rd = rstd.to(device);
            Tensor dx = unwritten<T>(rows * c, device), dgamma = unwritten(c, device), dbeta = unwritten(c, device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable {
                  dispatch<BatchNormBackwardOf<T>>(on, BatchNormShape{rows, c, true}, dyd.data<T>(), xd.data<T>(), yd.data<T>(), md.data(), rd.data(), gd.data(), true, BatchNormGradientsOf<T>{dx.mutable_data<T>(), nullptr, dgamma.mutable_data(), dbeta.mutable_data()});
                },
                [=] {
                  const Tensor got = to_host(dx), db = dbeta.to(Device{});
                  const auto masked = [&](std::int64_t i) { return y.data()[i] > 0.0f ? wide(dy.data()[i]) : 0.0; };
                  const auto xhat = [&](std::int64_t i) { return (wide(x.data()[i]) - wide(mean.data()[i % c])) * wide(rstd.data()[i % c]); };
                  std::vector<double> sum(static_cast<std::size_t>(c), 0.0), product(sum);
                  for (std::int64_t i = 0; i < rows * c; ++i) sum[static_cast<std::size_t>(i % c)] += masked(i), product[static_cast<std::size_t>(i % c)] += masked(i) * xhat(i);
                  Errors errors(kStored<T>);
                  const auto n = static_cast<double>(rows);
                  for (std::int64_t j = 0; j < c; ++j) errors.add("dbeta", j, db.data()[j], sum[static_cast<std::size_t>(j)], n, 16.0);
                  for (std::int64_t i = 0; i < rows * c; ++i) {
                    const auto j = static_cast<std::size_t>(i % c);
                    const double scale = wide(gamma.data()[i % c]) * wide(rstd.data()[i % c]);
                    errors.add("dx", i, got.data()[i], scale * (masked(i) - sum[j] / n - xhat(i) * product[j] / n), 3.0 * 8.0, 16.0);
                  }
                  return errors.text();
                });
          },
          kIsFloat<T>};
}

}  // namespace

void add_batch_norm_cases(std::vector<KernelCase>& cases, CaseSize size) {
  const std::vector<std::pair<std::int64_t, std::int64_t>> shapes =
      size == CaseSize::kSmall ? std::vector<std::pair<std::int64_t, std::int64_t>>{{33, 1}, {129, 33}, {64, 16}}
                               : std::vector<std::pair<std::int64_t, std::int64_t>>{{128 * 32 * 32, 16}, {128 * 14 * 14, 256}};
  const auto add = [&]<class T>(T, std::int64_t rows, std::int64_t c) { cases.push_back(statistics<T>(rows, c)), cases.push_back(apply<T>(rows, c)), cases.push_back(backward<T>(rows, c)); };
  for (const auto& [rows, c] : shapes) add(float{}, rows, c), add(Bfloat16{}, rows, c);
}

}  // namespace hinge::bench
