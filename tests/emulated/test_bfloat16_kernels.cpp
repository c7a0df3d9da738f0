// Kernels on bfloat16: what the same kernel makes of the same numbers as floats, rounded. The kernels on floats are held
// against float64 in test_kernels.cpp.
#include "engine/core/accelerator.h"
#include "kernels/batch_norm.h"
#include "kernels/bfloat16.h"
#include "kernels/conv2d.h"
#include "kernels/elementwise.h"
#include "kernels/pooling.h"
#include "kernels/registry.h"
#include "kernels/simt/memory.h"
#include "tests/emulated/schedules.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;
using namespace hinge::kernels;

namespace {

const Stream kGpu(Device{Device::Kind::kCuda, 0});

template <class T>
std::vector<T> converted(std::span<const float> values) {
  std::vector<T> result;
  for (const float value : values) result.push_back(static_cast<T>(value));
  return result;
}

// The same numbers, all of them bfloat16's, in both types.
class Operand {
 public:
  explicit Operand(const Tensor& tensor) : halves_(converted<Bfloat16>(tensor.values())) {
    for (const Bfloat16 half : halves_.to_host()) numbers_.push_back(static_cast<float>(half));
    floats_ = simt::Buffer<float>(numbers_);
  }
  template <class T>
  const T* as() const {
    if constexpr (std::is_same_v<T, float>) {
      return floats_.data();
    } else {
      return halves_.data();
    }
  }
  const std::vector<float>& numbers() const { return numbers_; }

 private:
  simt::Buffer<Bfloat16> halves_;
  simt::Buffer<float> floats_;
  std::vector<float> numbers_;
};

// call(out) writes `size` elements of float, then of Bfloat16; what differs from the rounded floats, "" if nothing.
template <class Call>
std::string rounding_mismatch(std::int64_t size, Call call) {
  simt::Buffer<float> floats(size, nullptr);
  simt::Buffer<Bfloat16> halves(size, nullptr);
  call(floats.data());
  call(halves.data());
  const std::vector<float> want = floats.to_host();
  const std::vector<Bfloat16> got = halves.to_host();
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (got[i].bits != bfloat16_of(want[i])) return fmt::format("[{}] is {}, expected {} rounded", i, static_cast<float>(got[i]), want[i]);
  }
  return "";
}

}  // namespace

TEST_CASE("elementwise kernels on bfloat16 are those on floats, rounded, at every size and alignment") {
  for (const std::int64_t size : kCountsThatHurt) {
    for (const std::int64_t offset : {0, 1, 8}) {
      if (offset > 0 && size > 1000) continue;
      const Operand a(random_tensor({size + offset}, 1, -8.0f, 8.0f)), b(random_tensor({size + offset}, 2));
      under_all_schedules([&] {
        INFO("size " << size << ", offset " << offset);
        const auto of_one = [&]<template <class> class Kernel>(auto... options) {
          return rounding_mismatch(size, [&]<class T>(T* out) { dispatch<Kernel<T>>(kGpu, size, options..., a.as<T>() + offset, out); });
        };
        const auto of_two = [&]<template <class> class Kernel>(auto... options) {
          return rounding_mismatch(size, [&]<class T>(T* out) { dispatch<Kernel<T>>(kGpu, size, options..., a.as<T>() + offset, b.as<T>() + offset, out); });
        };
        CHECK(of_one.template operator()<ReluForwardOf>() == "");
        CHECK(of_one.template operator()<CappedReluForwardOf>(6.0f) == "");
        CHECK(of_two.template operator()<ReluBackwardOf>() == "");
        CHECK(of_two.template operator()<CappedReluBackwardOf>(0.5f) == "");
        CHECK(of_two.template operator()<AddOf>() == "");
        for (const std::int64_t first : {0, 4, 3}) {
          const DropoutShape shape{.size = size, .rate = 0.3f, .seed = 11, .step = 5, .layer = 2, .first = first};
          CHECK(rounding_mismatch(size, [&]<class T>(T* out) { dispatch<DropoutOf<T>>(kGpu, shape, a.as<T>() + offset, out); }) == "");
        }
      });
    }
  }
}

TEST_CASE("a bias of floats is added to bfloat16 and its gradient is a sum in more than floats") {
  for (const std::int64_t rows : {0, 1, 33, 129}) {
    for (const std::int64_t c : {1, 8, 12, 31, 64, 129}) {
      const Operand x(random_tensor({rows, c}, 1));
      const Tensor b = random_tensor({c}, 2);
      Array sums({c}), sizes({c});
      for (std::int64_t i = 0; i < rows * c; ++i) {
        const auto value = static_cast<double>(x.numbers()[static_cast<std::size_t>(i)]);
        sums[i % c] += value, sizes[i % c] += std::fabs(value);
      }
      under_all_schedules([&] {
        INFO(rows << " x " << c);
        const simt::Buffer<float> bias(b.values(), nullptr);
        CHECK(rounding_mismatch(rows * c, [&]<class T>(T* out) { dispatch<BiasAddOf<T>>(kGpu, rows, c, x.as<T>(), bias.data(), out); }) == "");
        simt::Buffer<float> db(c, nullptr);
        dispatch<BiasBackwardOf<Bfloat16>>(kGpu, rows, c, x.as<Bfloat16>(), db.data());
        CHECK(mismatch(Tensor::from({c}, db.to_host()), sums, sizes) == "");
      });
    }
  }
}

TEST_CASE("batch norm on bfloat16 takes its statistics and sums in more than floats and rounds only what it puts out") {
  for (const auto& [rows, c] : {std::pair<std::int64_t, std::int64_t>{2, 1}, {31, 8}, {30, 12}, {33, 33}, {1000, 16}, {129, 264}}) {
    const Operand x(random_tensor({rows, c}, 1, 99.0f, 101.0f)), z(random_tensor({rows, c}, 2)), dy(random_tensor({rows, c}, 3)), y(random_tensor({rows, c}, 4));
    const reference::Statistics want = reference::statistics(Array(Tensor::from({rows, c}, x.numbers())));
    const Tensor mean = Tensor::from({c}, converted<float>(std::vector<float>(want.mean.data.begin(), want.mean.data.end())));
    const Tensor gamma = random_tensor({c}, 5, 0.5f, 2.0f), shift = random_tensor({c}, 6), rstd = random_tensor({c}, 7, 1.0f, 2.0f);
    Array size_var = want.var;
    for (double& v : size_var.data) v += 1.0;  // |x - x[0]| is at most 2: rounding of the centred terms
    for (const bool relu : {false, true}) {
      for (const bool residual : {false, true}) {
        const BatchNormShape shape{rows, c, relu};
        under_all_schedules([&] {
          INFO(rows << " rows, " << c << " channels, relu " << relu << ", residual " << residual);
          const auto device = [](const Tensor& tensor) { return simt::Buffer<float>(tensor.values(), nullptr); };
          const simt::Buffer<float> gd = device(gamma), sd = device(shift), rd = device(rstd), md = device(mean);
          simt::Buffer<float> m(c, nullptr), v(c, nullptr);
          dispatch<BatchNormStatisticsOf<Bfloat16>>(kGpu, shape, x.as<Bfloat16>(), m.data(), v.data());
          CHECK(mismatch(Tensor::from({c}, m.to_host()), want.mean, absolute(want.mean)) == "");
          CHECK(mismatch(Tensor::from({c}, v.to_host()), want.var, size_var) == "");
          CHECK(rounding_mismatch(rows * c, [&]<class T>(T* out) {
                  const T* no_residual = nullptr;
                  dispatch<BatchNormApplyOf<T>>(kGpu, shape, x.as<T>(), gd.data(), sd.data(), residual ? z.as<T>() : no_residual, out);
                }) == "");

          // dx rests on the sums, which are added in another order: close to the floats' and not their rounding.
          simt::Buffer<float> dx(rows * c, nullptr), dz(rows * c, nullptr), dgamma(c, nullptr), dbeta(c, nullptr), dgamma16(c, nullptr), dbeta16(c, nullptr);
          simt::Buffer<Bfloat16> dx16(rows * c, nullptr), dz16(rows * c, nullptr);
          const auto backward = [&]<class T>(T* gx, T* gz, float* g, float* b) {
            const T* no_output = nullptr;
            dispatch<BatchNormBackwardOf<T>>(kGpu, shape, dy.as<T>(), x.as<T>(), relu ? y.as<T>() : no_output, md.data(), rd.data(), gd.data(), true, BatchNormGradientsOf<T>{gx, residual ? gz : nullptr, g, b});
          };
          backward(dx.data(), dz.data(), dgamma.data(), dbeta.data());
          backward(dx16.data(), dz16.data(), dgamma16.data(), dbeta16.data());
          const auto n = static_cast<double>(rows);
          const std::vector<float> sum = dbeta.to_host(), sum16 = dbeta16.to_host(), product = dgamma.to_host(), product16 = dgamma16.to_host();
          for (std::size_t j = 0; j < sum.size(); ++j) {
            // |dy| <= 1 and |x - mean| rstd <= 4: terms of a sum of n, each order of which rounds once in sixteen terms.
            CHECK(std::fabs(static_cast<double>(sum[j]) - static_cast<double>(sum16[j])) <= 16.0 * kEpsilon * n);
            CHECK(std::fabs(static_cast<double>(product[j]) - static_cast<double>(product16[j])) <= 16.0 * kEpsilon * 4.0 * n);
          }
          const std::vector<float> gx = dx.to_host(), gz = residual ? dz.to_host() : std::vector<float>();
          const std::vector<Bfloat16> gx16 = dx16.to_host(), gz16 = residual ? dz16.to_host() : std::vector<Bfloat16>();
          bool near = true, masked = true;
          for (std::size_t i = 0; i < gx.size(); ++i) {
            const double a = static_cast<double>(gx[i]), b = static_cast<double>(static_cast<float>(gx16[i]));
            // Half a unit of bfloat16's last place, and what the constants differ by: 4 x (1 + 1 + 4 x 4) in size.
            near = near && std::fabs(a - b) <= 0x1p-8 * std::fabs(a) + 72.0 * 32.0 * kEpsilon;
            if (residual) masked = masked && gz16[i].bits == bfloat16_of(gz[i]);
          }
          CHECK(near);
          CHECK(masked);
        });
      }
    }
  }
}

TEST_CASE("pooling, shortcuts and moves of channels on bfloat16 are those on floats, rounded") {
  for (const PoolKind kind : {PoolKind::kMax, PoolKind::kAverage}) {
    for (const PoolShape& s : {PoolShape{2, 8, 8, 33, 8, 8, 0, kind}, {1, 7, 9, 8, 3, 2, 1, kind}, {3, 5, 5, 16, 2, 2, 0, kind}, {1, 6, 6, 129, 3, 1, 1, kind}, {0, 4, 4, 8, 2, 2, 0, kind}}) {
      // Few different numbers: of equal largest ones the first gets the gradient.
      const Operand x(random_tensor({s.input_size()}, 1)), dy(random_tensor({s.output_size()}, 2));
      under_all_schedules([&] {
        INFO(s.h << "x" << s.w << "x" << s.c << ", window " << s.window << ", average " << (kind == PoolKind::kAverage));
        CHECK(rounding_mismatch(s.output_size(), [&]<class T>(T* out) { dispatch<PoolForwardOf<T>>(kGpu, s, x.as<T>(), out); }) == "");
        CHECK(rounding_mismatch(s.input_size(), [&]<class T>(T* out) {
                simt::Buffer<T> y(s.output_size(), nullptr);
                dispatch<PoolForwardOf<T>>(kGpu, s, x.as<T>(), y.data());
                dispatch<PoolBackwardOf<T>>(kGpu, s, dy.as<T>(), x.as<T>(), y.data(), out);
              }) == "");
      });
    }
  }
  for (const bool pool : {false, true}) {
    for (const ShortcutShape& s : {ShortcutShape{2, 8, 8, 16, 8, 8, pool}, {1, 5, 7, 3, 1, 2, pool}, {1, 2, 2, 33, 0, 0, pool}}) {
      const Operand x(random_tensor({s.n * s.h * s.w * s.c}, 1)), dy(random_tensor({s.n * s.p() * s.q() * s.k()}, 2));
      under_all_schedules([&] {
        CHECK(rounding_mismatch(s.n * s.p() * s.q() * s.k(), [&]<class T>(T* out) { dispatch<ShortcutForwardOf<T>>(kGpu, s, x.as<T>(), out); }) == "");
        CHECK(rounding_mismatch(s.n * s.h * s.w * s.c, [&]<class T>(T* out) { dispatch<ShortcutBackwardOf<T>>(kGpu, s, dy.as<T>(), out); }) == "");
      });
    }
  }
  const ChannelCopyShape copy{66, 30, 65, 3, 30, 0};
  const Operand x(random_tensor({66 * 65}, 3));
  under_all_schedules([&] { CHECK(rounding_mismatch(66 * 30, [&]<class T>(T* out) { dispatch<ChannelCopyOf<T>>(kGpu, copy, x.as<T>(), out); }) == ""); });
}

#if defined(HINGE_ON_DEVICE)  // the emulator has the CPU's convolutions in the libraries' place
TEST_CASE("a convolution of bfloat16 is right in each of its forms, whichever is the fastest") {
  const auto numbers = [](std::int64_t size, std::uint64_t seed) { return Operand(random_tensor({size}, seed)); };
  int variant = 0;
  for (const char* form : {"gemm", "float", "nhwc-1", "nhwc-0"}) {
    for (ConvShape s : {ConvShape{.n = 2, .h = 7, .w = 5, .c = 16, .k = 24}, {.n = 2, .h = 9, .w = 9, .c = 16, .k = 24, .r = 3, .s = 3, .stride = 2, .padding = 1}, {.n = 2, .h = 8, .w = 8, .c = 16, .k = 16, .r = 3, .s = 3, .padding = 1, .groups = 2}}) {
      s.h += 2 * ++variant;  // a shape is chosen for once
      ConvChoices choices = conv_choices();
      for (const char* operation : {"forward", "backward data", "backward weights"}) choices[accelerator()->name(0) + " bf16 " + operation + " " + s.to_string()] = form;
      set_conv_choices(choices);
      INFO(form << ", " << s.to_string());
      const Operand x = numbers(s.input_size(), 1), w = numbers(s.filter_size(), 2), dy = numbers(s.output_size(), 3);
      const auto difference = [&](std::int64_t size, auto call) {
        std::vector<float> want(static_cast<std::size_t>(size));
        simt::Buffer<Bfloat16> got(size, nullptr);
        call(Stream(), want.data(), [](const Operand& operand) { return operand.numbers().data(); });
        call(kGpu, got.data(), [](const Operand& operand) { return operand.as<Bfloat16>(); });
        double worst = 0.0, largest = 0.0;
        const std::vector<Bfloat16> halves = got.to_host();
        for (std::size_t i = 0; i < want.size(); ++i) {
          const double d = std::fabs(static_cast<double>(static_cast<float>(halves[i])) - static_cast<double>(want[i]));
          if (!(d <= worst)) worst = d;
          largest = std::max(largest, std::fabs(static_cast<double>(want[i])));
        }
        return worst / largest;
      };
      const float* no_bias = nullptr;
      float* no_gradient = nullptr;
      CHECK(difference(s.output_size(), [&]<class T>(const Stream& on, T* out, auto of) { dispatch<Conv2dForwardOf<T>>(on, s, of(x), of(w), no_bias, out); }) <= 0x1p-7);
      CHECK(difference(s.input_size(), [&]<class T>(const Stream& on, T* out, auto of) { dispatch<Conv2dBackwardDataOf<T>>(on, s, of(dy), of(w), out); }) <= 0x1p-7);
      CHECK(difference(s.filter_size(), [&]<class T>(const Stream& on, T* out, auto of) { dispatch<Conv2dBackwardWeightsOf<T>>(on, s, of(x), of(dy), out, no_gradient); }) <= 0x1p-7);
    }
  }
}
#endif
