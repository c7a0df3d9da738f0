// Elementwise kernels, pooling, the loss and SGD: all bound by memory.
#include <array>

#include "kernels/convolution_end.h"
#include "kernels/elementwise.h"
#include "kernels/loss.h"
#include "kernels/pooling.h"
#include "kernels/registry.h"
#include "kernels/sgd.h"
#include "tools/bench/case_run.h"

namespace hinge::bench {
namespace {

using namespace kernels;

template <class T>
KernelCase relu(std::int64_t size) {
  return {fmt::format("relu {}{}", size, kTypeText<T>), "elementwise", 2.0 * sizeof(T) * static_cast<double>(size), static_cast<double>(size), [=](Device device, std::uint64_t seed) {
            const Tensor host = random_numbers<T>(size, seed), x = to_device<T>(host, device);
            Tensor y = unwritten<T>(size, device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable { dispatch<ReluForwardOf<T>>(on, size, x.data<T>(), y.mutable_data<T>()); },
                [=] {
                  const Tensor got = to_host(y);
                  Errors errors;
                  for (std::int64_t i = 0; i < size; ++i) errors.add("y", i, got.data()[i], std::max(0.0, wide(host.data()[i])), 0.0, 0.0);
                  return errors.text();
                });
          },
          kIsFloat<T>};
}

template <class T>
KernelCase add(std::int64_t size) {
  return {fmt::format("add {}{}", size, kTypeText<T>), "elementwise", 3.0 * sizeof(T) * static_cast<double>(size), static_cast<double>(size), [=](Device device, std::uint64_t seed) {
            const Tensor a = random_numbers<T>(size, seed), b = random_numbers<T>(size, seed + 1), x = to_device<T>(a, device), z = to_device<T>(b, device);
            Tensor y = unwritten<T>(size, device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable { dispatch<AddOf<T>>(on, size, x.data<T>(), z.data<T>(), y.mutable_data<T>()); },
                [=] {
                  const Tensor got = to_host(y);
                  Errors errors(kStored<T>);
                  for (std::int64_t i = 0; i < size; ++i) errors.add("y", i, got.data()[i], wide(a.data()[i]) + wide(b.data()[i]), 2.0, 1.0);
                  return errors.text();
                });
          },
          kIsFloat<T>};
}

KernelCase bias_relu(std::int64_t rows, std::int64_t c) {
  return {fmt::format("bias and relu {}x{}", rows, c), "elementwise", 8.0 * static_cast<double>(rows * c), 2.0 * static_cast<double>(rows * c), [=](Device device, std::uint64_t seed) {
            const Tensor x = random_floats(rows * c, seed), b = random_floats(c, seed + 1), xd = x.to(device), bd = b.to(device);
            Tensor y = unwritten(rows * c, device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable { dispatch<BiasRelu>(on, rows, c, xd.data(), bd.data(), y.mutable_data()); },
                [=] {
                  const Tensor got = y.to(Device{});
                  Errors errors;
                  for (std::int64_t i = 0; i < rows * c; ++i) errors.add("y", i, got.data()[i], std::max(0.0, wide(x.data()[i]) + wide(b.data()[i % c])), 2.0, 1.0);
                  return errors.text();
                });
          }};
}

KernelCase convolution_end(std::int64_t rows, std::int64_t c) {
  const ConvolutionEndShape shape{rows, c, {.low = 0.0f}};
  return {fmt::format("bias, residual and relu {}x{}", rows, c), "elementwise", 12.0 * static_cast<double>(rows * c), 3.0 * static_cast<double>(rows * c), [=](Device device, std::uint64_t seed) {
            const Tensor x = random_floats(rows * c, seed), b = random_floats(c, seed + 1), z = random_floats(rows * c, seed + 2);
            const Tensor xd = x.to(device), bd = b.to(device), zd = z.to(device);
            Tensor y = unwritten(rows * c, device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable { dispatch<ConvolutionEnd>(on, shape, xd.data(), bd.data(), zd.data(), y.mutable_data()); },
                [=] {
                  const Tensor got = y.to(Device{});
                  Errors errors;
                  for (std::int64_t i = 0; i < rows * c; ++i) errors.add("y", i, got.data()[i], std::max(0.0, wide(x.data()[i]) + wide(b.data()[i % c]) + wide(z.data()[i])), 3.0, 2.0);
                  return errors.text();
                });
          }};
}

// The mean of the picture, as in front of a classifier.
KernelCase global_pool(std::int64_t n, std::int64_t side, std::int64_t c) {
  const PoolShape shape{n, side, side, c, static_cast<int>(side), static_cast<int>(side), 0, PoolKind::kAverage};
  const auto in = static_cast<double>(shape.input_size());
  return {fmt::format("global average pool {}x{}x{}x{}", n, side, side, c), "pooling", 4.0 * (in + static_cast<double>(n * c)), in, [=](Device device, std::uint64_t seed) {
            const Tensor x = random_floats(shape.input_size(), seed), xd = x.to(device);
            Tensor y = unwritten(n * c, device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable { dispatch<PoolForward>(on, shape, xd.data(), y.mutable_data()); },
                [=] {
                  const Tensor got = y.to(Device{});
                  const std::int64_t pixels = side * side;
                  Errors errors;
                  for (std::int64_t i = 0; i < n * c; ++i) {
                    double sum = 0.0;
                    for (std::int64_t p = 0; p < pixels; ++p) sum += wide(x.data()[(i / c * pixels + p) * c + i % c]);
                    errors.add("y", i, got.data()[i], sum / static_cast<double>(pixels), 1.0, static_cast<double>(pixels));
                  }
                  return errors.text();
                });
          }};
}

KernelCase loss(std::int64_t rows, std::int64_t k) {
  return {fmt::format("softmax cross-entropy {}x{}", rows, k), "loss", 8.0 * static_cast<double>(rows * k), 10.0 * static_cast<double>(rows * k), [=](Device device, std::uint64_t seed) {
            const Tensor x = random_floats(rows * k, seed, -4.0f, 4.0f), xd = x.to(device);
            Tensor labels = Tensor::empty({rows}, DType::kInt32);
            for (std::int64_t i = 0; i < rows; ++i) labels.mutable_data<std::int32_t>()[i] = static_cast<std::int32_t>((i * 7 + static_cast<std::int64_t>(seed)) % k);
            const Tensor ld = labels.to(device);
            Tensor losses = unwritten(rows, device), dx = unwritten(rows * k, device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable {
                  dispatch<SoftmaxLoss>(on, LossShape{.rows = rows, .k = k}, xd.data(), ld.data<std::int32_t>(), static_cast<const float*>(nullptr), losses.mutable_data(), dx.mutable_data());
                },
                [=] {
                  const Tensor l = losses.to(Device{}), d = dx.to(Device{});
                  Errors errors;
                  for (std::int64_t row = 0; row < rows; ++row) {
                    double sum = 0.0;
                    for (std::int64_t j = 0; j < k; ++j) sum += std::exp(wide(x.data()[row * k + j]));
                    const std::int64_t label = labels.data<std::int32_t>()[row];
                    errors.add("loss", row, l.data()[row], std::log(sum) - wide(x.data()[row * k + label]), 8.0, 1.0);
                    for (std::int64_t j = 0; j < k; ++j) {
                      const double p = std::exp(wide(x.data()[row * k + j])) / sum;
                      errors.add("dx", row * k + j, d.data()[row * k + j], (p - (j == label ? 1.0 : 0.0)) / static_cast<double>(rows), 1.0 / static_cast<double>(rows), 1.0);
                    }
                  }
                  return errors.text();
                });
          }};
}

KernelCase sgd(std::int64_t size) {
  return {fmt::format("sgd {}", size), "sgd", 20.0 * static_cast<double>(size), 6.0 * static_cast<double>(size), [=](Device device, std::uint64_t seed) {
            const Tensor w = random_floats(size, seed), v = random_floats(size, seed + 1), g = random_floats(size, seed + 2), gd = g.to(device);
            Tensor wd = w.copy_on(device), vd = v.copy_on(device);
            // The step is in place: it is checked against as many steps as were run.
            auto runs = std::make_shared<int>(0);
            const SgdOptions options{.rate = 0.01f, .momentum = 0.9f, .decay = 1e-4f};
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable {
                  ++*runs;
                  dispatch<SgdStep>(on, size, options, gd.data(), vd.mutable_data(), wd.mutable_data());
                },
                [=] {
                  if (*runs == 0) return std::string("nothing was run");
                  const Tensor got = wd.to(Device{});
                  Errors errors;
                  for (std::int64_t i = 0; i < size; ++i) {
                    double weight = wide(w.data()[i]), velocity = wide(v.data()[i]);
                    for (int step = 0; step < *runs; ++step) {
                      velocity = wide(options.momentum) * velocity + wide(g.data()[i]) + wide(options.decay) * weight;
                      weight -= wide(options.rate) * velocity;
                    }
                    errors.add("w", i, got.data()[i], weight, 2.0 + *runs, *runs);
                  }
                  return errors.text();
                });
          }};
}

}  // namespace

void add_elementwise_cases(std::vector<KernelCase>& cases, CaseSize size) {
  if (size == CaseSize::kSmall) {
    for (const std::int64_t n : {1, 33, 129, 1000}) cases.push_back(relu<float>(n)), cases.push_back(add<float>(n)), cases.push_back(relu<Bfloat16>(n)), cases.push_back(add<Bfloat16>(n)), cases.push_back(sgd(n));
    cases.push_back(bias_relu(33, 31));
    cases.push_back(convolution_end(33, 31)), cases.push_back(convolution_end(129, 32));
    cases.push_back(global_pool(3, 7, 33));
    cases.push_back(loss(5, 33));
    return;
  }
  const std::int64_t layer = 128 * 32 * 32 * 16;
  cases.push_back(relu<float>(layer)), cases.push_back(relu<Bfloat16>(layer));
  cases.push_back(add<float>(layer)), cases.push_back(add<Bfloat16>(layer));
  cases.push_back(bias_relu(128 * 32 * 32, 16));
  cases.push_back(convolution_end(128 * 32 * 32, 16));
  cases.push_back(global_pool(128, 7, 2048));
  cases.push_back(loss(128, 1000));
  cases.push_back(sgd(25557032));  // the weights of ResNet-50
}

}  // namespace hinge::bench
