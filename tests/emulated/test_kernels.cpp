// Our CUDA kernels, through the registry as ops call them, against float64 references at sizes that hurt, under three
// schedules; and, where the arithmetic is the same, against the CPU's bytes.
#include <cmath>
#include <cstring>

#include "data/augment.h"
#include "engine/core/device.h"
#include "kernels/augment.h"
#include "kernels/batch_norm.h"
#include "kernels/bfloat16.h"
#include "kernels/elementwise.h"
#include "kernels/group_prox.h"
#include "kernels/loss.h"
#include "kernels/pooling.h"
#include "kernels/registry.h"
#include "kernels/sgd_table.h"
#include "tests/emulated/schedules.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;
using namespace hinge::kernels;

namespace {

const Stream kGpu(Device{Device::Kind::kCuda, 0});

using Floats = simt::Buffer<float>;
Floats on_gpu(const Tensor& tensor) { return Floats(tensor.values(), nullptr); }
Tensor tensor(const Floats& buffer, const Shape& shape) { return Tensor::from(shape, buffer.to_host()); }

Array map(const Array& x, double (*f)(double)) {
  Array y = x;
  for (double& value : y.data) value = f(value);
  return y;
}

}  // namespace

TEST_CASE("elementwise kernels agree with the reference at every size and alignment") {
  for (const std::int64_t size : kCountsThatHurt) {
    for (const std::int64_t offset : {0, 1, 2}) {
      if (offset > 0 && size > 1000) continue;
      const Tensor a = random_tensor({size + offset}, 1), b = random_tensor({size + offset}, 2);
      under_all_schedules([&] {
        INFO("size " << size << ", offset " << offset);
        const Floats x = on_gpu(a), z = on_gpu(b);
        const auto run = [&](auto call) {
          Floats y(size + offset, nullptr);
          call(y.data() + offset);
          std::vector<float> values = y.to_host();
          for (std::int64_t i = 0; i < offset; ++i) CHECK(std::isnan(values[static_cast<std::size_t>(i)]));
          return Tensor::from({size}, std::vector<float>(values.begin() + offset, values.end()));
        };
        Array want_a({size}), want_b({size});
        for (std::int64_t i = 0; i < size; ++i) {
          want_a[i] = static_cast<double>(a.data()[i + offset]);
          want_b[i] = static_cast<double>(b.data()[i + offset]);
        }
        const float *xp = x.data() + offset, *zp = z.data() + offset;
        CHECK(mismatch(run([&](float* y) { dispatch<ReluForward>(kGpu, size, xp, y); }), reference::relu(want_a),
                       absolute(want_a), 0.0) == "");
        CHECK(mismatch(run([&](float* y) { dispatch<Add>(kGpu, size, xp, zp, y); }), reference::add(want_a, want_b),
                       reference::add(absolute(want_a), absolute(want_b)), 1.0) == "");
        CHECK(mismatch(run([&](float* y) { dispatch<Scale>(kGpu, size, 3.0f, xp, y); }),
                       map(want_a, [](double v) { return 3.0 * v; }), map(absolute(want_a), [](double v) { return 3.0 * v; }),
                       1.0) == "");
        Array between = want_b, reach = want_b;
        for (std::int64_t i = 0; i < size; ++i) between[i] += 0.3f * (want_a[i] - want_b[i]), reach[i] = std::fabs(want_b[i]) + std::fabs(want_a[i] - want_b[i]);
        CHECK(mismatch(run([&](float* y) {
                         dispatch<Scale>(kGpu, size, 1.0f, zp, y);
                         dispatch<Approach>(kGpu, size, 0.3f, xp, y);
                       }),
                       between, reach, 3.0) == "");
        Array passed = want_a;
        for (std::int64_t i = 0; i < size; ++i) passed[i] = want_b[i] > 0 ? want_a[i] : 0.0;
        CHECK(mismatch(run([&](float* y) { dispatch<ReluBackward>(kGpu, size, xp, zp, y); }), passed, passed, 0.0) == "");
      });
    }
  }
}

TEST_CASE("floats are rounded to bfloat16 as the CPU rounds them, at every size and alignment, and come back exactly") {
  for (const std::int64_t size : kCountsThatHurt) {
    for (const std::int64_t offset : {0, 1, 2, 4, 8}) {
      if (offset > 0 && size > 1000) continue;
      const Tensor a = random_tensor({size + offset}, 1);
      std::vector<Bfloat16> want(static_cast<std::size_t>(size));
      std::vector<float> back(static_cast<std::size_t>(size));
      dispatch<ToBfloat16>(Stream(), size, a.data() + offset, want.data());
      dispatch<FromBfloat16>(Stream(), size, want.data(), back.data());
      under_all_schedules([&] {
        INFO("size " << size << ", offset " << offset);
        const Floats x = on_gpu(a);
        simt::Buffer<Bfloat16> y(size + offset, nullptr);
        Floats z(size + offset, nullptr);
        dispatch<ToBfloat16>(kGpu, size, x.data() + offset, y.data() + offset);
        dispatch<FromBfloat16>(kGpu, size, y.data() + offset, z.data() + offset);
        const std::vector<Bfloat16> halves = y.to_host();
        const std::vector<float> floats = z.to_host();
        CHECK(std::equal(want.begin(), want.end(), halves.begin() + offset, [](Bfloat16 a, Bfloat16 b) { return a.bits == b.bits; }));
        CHECK(std::equal(back.begin(), back.end(), floats.begin() + offset));
        for (std::int64_t i = 0; i < offset; ++i) CHECK(std::isnan(floats[static_cast<std::size_t>(i)]));
      });
    }
  }
}

TEST_CASE("dropout draws the CPU's bits, and NaN stays NaN behind a ReLU") {
  for (const std::int64_t size : kCountsThatHurt) {
    const Tensor x = random_tensor({size}, 3);
    const DropoutShape shape{size, 0.3f, 11, 5, 2};
    Tensor want = Tensor::empty({size});
    dispatch<Dropout>(Stream(), shape, x.data(), want.mutable_data());
    under_all_schedules([&] {
      const Floats in = on_gpu(x);
      Floats out(size, nullptr);
      dispatch<Dropout>(kGpu, shape, in.data(), out.data());
      CHECK(same_bytes(tensor(out, {size}), want));
    });
  }
  Floats nan(std::vector<float>{NAN, -1, 2, -0.0f, NAN});
  dispatch<ReluForward>(kGpu, std::int64_t{5}, nan.data(), nan.data());
  const std::vector<float> y = nan.to_host();
  CHECK((std::isnan(y[0]) && y[1] == 0.0f && y[2] == 2.0f && std::isnan(y[4])));
}

TEST_CASE("bias, with and without ReLU, and its gradient agree with the reference") {
  for (const std::int64_t rows : {0, 1, 33, 129}) {
    for (const std::int64_t c : {1, 4, 31, 64, 129}) {
      INFO(rows << " x " << c);
      const Tensor x = random_tensor({rows, c}, 1), b = random_tensor({c}, 2);
      Array want(x), sums({c}), absolute_sums({c}), magnitude = absolute(Array(x));
      for (std::int64_t i = 0; i < want.size(); ++i) {
        sums[i % c] += want[i], absolute_sums[i % c] += std::fabs(want[i]);
        want[i] += static_cast<double>(b.data()[i % c]);
        magnitude[i] += std::fabs(static_cast<double>(b.data()[i % c]));
      }
      under_all_schedules([&] {
        const Floats in = on_gpu(x), bias = on_gpu(b);
        Floats y(rows * c, nullptr), act(rows * c, nullptr), db(c, nullptr);
        dispatch<BiasAdd>(kGpu, rows, c, in.data(), bias.data(), y.data());
        dispatch<BiasRelu>(kGpu, rows, c, in.data(), bias.data(), act.data());
        dispatch<BiasBackward>(kGpu, rows, c, in.data(), db.data());
        CHECK(mismatch(tensor(y, {rows, c}), want, magnitude, 1.0) == "");
        CHECK(mismatch(tensor(act, {rows, c}), reference::relu(want), magnitude, 1.0) == "");
        CHECK(mismatch(tensor(db, {c}), sums, absolute_sums) == "");
      });
    }
  }
}

TEST_CASE("batch norm's statistics, output and gradients agree with the reference") {
  for (const auto& [rows, c] : {std::pair<std::int64_t, std::int64_t>{2, 1}, {31, 4}, {33, 33}, {1000, 16}, {129, 132}}) {
    for (const bool relu : {false, true}) {
      for (const bool residual : {false, true}) {
        INFO(rows << " rows, " << c << " channels, relu " << relu << ", residual " << residual);
        const BatchNormShape shape{rows, c, relu};
        const Tensor x = random_tensor({rows, c}, 1, 99.0f, 101.0f), z = random_tensor({rows, c}, 2);
        const Tensor gamma = random_tensor({c}, 3, 0.5f, 2.0f), dy = random_tensor({rows, c}, 4);
        const reference::Statistics want = reference::statistics(Array(x));
        Tensor mean = Tensor::empty({c}), rstd = Tensor::empty({c}), scale = Tensor::empty({c}), shift = Tensor::empty({c});
        Tensor y = Tensor::empty({rows, c});
        for (std::int64_t j = 0; j < c; ++j) {
          mean.mutable_data()[j] = static_cast<float>(want.mean[j]);
          rstd.mutable_data()[j] = static_cast<float>(1.0 / std::sqrt(want.var[j] + 1e-5));
          scale.mutable_data()[j] = gamma.data()[j] * rstd.data()[j];
          shift.mutable_data()[j] = -mean.data()[j] * scale.data()[j];
        }
        const float* no_residual = nullptr;
        dispatch<BatchNormApply>(Stream(), shape, x.data(), scale.data(), shift.data(), residual ? z.data() : no_residual,
                                 y.mutable_data());
        // The gradients in float64, from the numbers the kernel gets.
        Array dx({rows, c}), dz({rows, c}), dgamma({c}), dbeta({c}), centred_sum({c}), size_gamma({c}), size_beta({c}), size_x({rows, c});
        const auto at = [](const Tensor& t, std::int64_t i) { return static_cast<double>(t.data()[i]); };
        for (std::int64_t i = 0; i < rows * c; ++i) {
          const std::int64_t j = i % c;
          dz[i] = !relu || y.data()[i] > 0.0f ? at(dy, i) : 0.0;
          dbeta[j] += dz[i], size_beta[j] += std::fabs(dz[i]);
          dgamma[j] += dz[i] * (at(x, i) - at(mean, j)) * at(rstd, j);
          size_gamma[j] += std::fabs(dz[i]) * (std::fabs(at(x, i) - at(mean, j)) + 1e-6) * at(rstd, j);
        }
        for (std::int64_t i = 0; i < rows * c; ++i) {
          const std::int64_t j = i % c;
          const double xhat = (at(x, i) - at(mean, j)) * at(rstd, j), n = static_cast<double>(rows);
          dx[i] = at(gamma, j) * at(rstd, j) * (dz[i] - dbeta[j] / n - xhat * dgamma[j] / n);
          size_x[i] = at(gamma, j) * at(rstd, j) * (std::fabs(dz[i]) + size_beta[j] / n + (std::fabs(xhat) + 1) * size_gamma[j] / n);
        }
        Array size_y(x.shape()), want_y(x.shape());
        for (std::int64_t i = 0; i < rows * c; ++i) {
          const std::int64_t j = i % c;
          const double r = residual ? at(z, i) : 0.0;
          want_y[i] = at(x, i) * at(scale, j) + at(shift, j) + r;
          size_y[i] = std::fabs(at(x, i) * at(scale, j)) + std::fabs(at(shift, j)) + std::fabs(r);
        }
        if (relu) want_y = reference::relu(want_y);
        Array size_var = want.var, size_mean = absolute(want.mean);
        for (double& v : size_var.data) v += 1.0;  // |x - x[0]| is at most 2: rounding of the centred terms

        under_all_schedules([&] {
          const Floats xg = on_gpu(x), zg = on_gpu(z), dyg = on_gpu(dy), yg = on_gpu(y), gg = on_gpu(gamma);
          const Floats mg = on_gpu(mean), rg = on_gpu(rstd), ag = on_gpu(scale), bg = on_gpu(shift);
          Floats m(c, nullptr), v(c, nullptr), out(rows * c, nullptr), gx(rows * c, nullptr), gz(rows * c, nullptr);
          Floats g(c, nullptr), b(c, nullptr);
          dispatch<BatchNormStatistics>(kGpu, shape, xg.data(), m.data(), v.data());
          CHECK(mismatch(tensor(m, {c}), want.mean, size_mean) == "");
          CHECK(mismatch(tensor(v, {c}), want.var, size_var) == "");
          dispatch<BatchNormApply>(kGpu, shape, xg.data(), ag.data(), bg.data(), residual ? zg.data() : no_residual,
                                   out.data());
          CHECK(mismatch(tensor(out, {rows, c}), want_y, size_y) == "");
          dispatch<BatchNormBackward>(kGpu, shape, dyg.data(), xg.data(), relu ? yg.data() : no_residual, mg.data(),
                                      rg.data(), gg.data(), true,
                                      BatchNormGradients{gx.data(), residual ? gz.data() : nullptr, g.data(), b.data()});
          CHECK(mismatch(tensor(g, {c}), dgamma, size_gamma) == "");
          CHECK(mismatch(tensor(b, {c}), dbeta, size_beta) == "");
          CHECK(mismatch(tensor(gx, {rows, c}), dx, size_x) == "");
          if (residual) CHECK(mismatch(tensor(gz, {rows, c}), dz, dz, 0.0) == "");
        });
      }
    }
  }
}

TEST_CASE("pooling gives what the CPU gives, forwards and backwards, for every window") {
  for (const PoolKind kind : {PoolKind::kMax, PoolKind::kAverage}) {
    for (const PoolShape& s : {PoolShape{2, 8, 8, 33, 8, 8, 0, kind}, {1, 7, 9, 8, 3, 2, 1, kind}, {3, 5, 5, 4, 2, 2, 0, kind}, {1, 6, 6, 129, 3, 1, 1, kind}, {0, 4, 4, 4, 2, 2, 0, kind}}) {
      const Tensor x = distinct_tensor({std::max<std::int64_t>(s.input_size(), 0)});
      const Tensor dy = random_tensor({s.output_size()}, 2);
      Tensor y = Tensor::empty({s.output_size()}), dx = Tensor::empty({s.input_size()});
      dispatch<PoolForward>(Stream(), s, x.data(), y.mutable_data());
      dispatch<PoolBackward>(Stream(), s, dy.data(), x.data(), y.data(), dx.mutable_data());
      // A maximum is one of the elements. Sums and means depend on how a compiler joins products and sums: 8 epsilon of the same
      // sum over absolute values.
      const auto absolute_of = [](Tensor t) {
        for (std::int64_t i = 0; i < t.size(); ++i) t.mutable_data()[i] = std::fabs(t.data()[i]);
        return t;
      };
      Tensor size_y = y.clone(), size_dx = dx.clone();
      if (kind == PoolKind::kAverage) dispatch<PoolForward>(Stream(), s, absolute_of(x.clone()).data(), size_y.mutable_data());
      dispatch<PoolBackward>(Stream(), s, absolute_of(dy.clone()).data(), x.data(), y.data(), size_dx.mutable_data());
      under_all_schedules([&] {
        INFO(s.h << "x" << s.w << "x" << s.c << ", window " << s.window << ", average " << (kind == PoolKind::kAverage));
        const Floats xg = on_gpu(x), dyg = on_gpu(dy);
        Floats yg(s.output_size(), nullptr), dxg(s.input_size(), nullptr);
        dispatch<PoolForward>(kGpu, s, xg.data(), yg.data());
        dispatch<PoolBackward>(kGpu, s, dyg.data(), xg.data(), yg.data(), dxg.data());
        CHECK(mismatch(tensor(yg, y.shape()), Array(y), Array(size_y), kind == PoolKind::kMax ? 0.0 : 8.0) == "");
        CHECK(mismatch(tensor(dxg, dx.shape()), Array(dx), Array(size_dx)) == "");
      });
    }
  }
}

TEST_CASE("of equal largest elements the first gets the gradient, and a maximum keeps NaN") {
  const PoolShape s{1, 2, 2, 1, 2, 2, 0, PoolKind::kMax};
  const Floats x(std::vector<float>{1, 3, 3, 3}), dy(std::vector<float>{5});
  Floats y(1, nullptr), dx(4, nullptr);
  dispatch<PoolForward>(kGpu, s, x.data(), y.data());
  dispatch<PoolBackward>(kGpu, s, dy.data(), x.data(), y.data(), dx.data());
  CHECK(dx.to_host() == std::vector<float>{0, 5, 0, 0});
  const Floats nan(std::vector<float>{1, NAN, 3, 2});
  dispatch<PoolForward>(kGpu, s, nan.data(), y.data());
  CHECK(std::isnan(y.to_host()[0]));
}

TEST_CASE("shortcuts, channel moves and transposes agree with the CPU") {
  for (const bool pool : {false, true}) {
    for (const ShortcutShape& s : {ShortcutShape{2, 8, 8, 16, 8, 8, pool}, {1, 5, 7, 3, 1, 2, pool}, {1, 2, 2, 33, 0, 0, pool}}) {
      const Tensor x = random_tensor({s.n * s.h * s.w * s.c}, 1), dy = random_tensor({s.n * s.p() * s.q() * s.k()}, 2);
      Tensor y = Tensor::empty(dy.shape()), dx = Tensor::empty(x.shape());
      dispatch<ShortcutForward>(Stream(), s, x.data(), y.mutable_data());
      dispatch<ShortcutBackward>(Stream(), s, dy.data(), dx.mutable_data());
      under_all_schedules([&] {
        const Floats xg = on_gpu(x), dyg = on_gpu(dy);
        Floats yg(y.size(), nullptr), dxg(x.size(), nullptr);
        dispatch<ShortcutForward>(kGpu, s, xg.data(), yg.data());
        dispatch<ShortcutBackward>(kGpu, s, dyg.data(), dxg.data());
        CHECK(same_bytes(tensor(yg, y.shape()), y));
        CHECK(same_bytes(tensor(dxg, dx.shape()), dx));
      });
    }
  }
  const Tensor x = random_tensor({2 * 33 * 65}, 3);
  std::vector<std::int32_t> channels = {64, 0, 7, 7, 33};
  under_all_schedules([&] {
    const Floats xg = on_gpu(x);
    Tensor want = Tensor::empty(x.shape());
    Floats y(x.size(), nullptr);
    dispatch<Transpose>(Stream(), TransposeShape{2, 33, 65}, x.data(), want.mutable_data());
    dispatch<Transpose>(kGpu, TransposeShape{2, 33, 65}, xg.data(), y.data());
    CHECK(same_bytes(tensor(y, x.shape()), want));
    const simt::Buffer<std::int32_t> index(channels);
    Tensor gathered = Tensor::empty({66 * 5});
    Floats g(66 * 5, nullptr);
    dispatch<ChannelGather>(Stream(), ChannelGatherShape{66, 65, 5}, x.data(), channels.data(), gathered.mutable_data());
    dispatch<ChannelGather>(kGpu, ChannelGatherShape{66, 65, 5}, xg.data(), index.data(), g.data());
    CHECK(same_bytes(tensor(g, gathered.shape()), gathered));
    for (std::int64_t row = 0; row < 66; ++row) CHECK(gathered.data()[row * 5] == x.data()[row * 65 + 64]);
    const ChannelCopyShape copy{66, 30, 65, 3, 40, 10};
    Tensor copied = Tensor::zeros({66 * 40});
    Floats c(copied.values(), nullptr);
    dispatch<ChannelCopy>(Stream(), copy, x.data(), copied.mutable_data());
    dispatch<ChannelCopy>(kGpu, copy, xg.data(), c.data());
    CHECK(same_bytes(tensor(c, copied.shape()), copied));
  });
}

TEST_CASE("the loss, its gradient and the counts of hits agree with the reference") {
  for (const std::int64_t rows : {1, 5, 33}) {
    for (const std::int64_t k : {1, 10, 31, 33, 1000}) {
      const Tensor x = random_tensor({rows, k}, 1, -4, 4), v = random_tensor({rows, k}, 2, -4, 4);
      const Tensor labels = random_labels(rows, k, 3);
      const LossShape s{rows, k, 0.1f, 0.4f, 4.0f};
      std::vector<int> ints(labels.values<std::int32_t>().begin(), labels.values<std::int32_t>().end());
      const double want = reference::classification_loss(
          Array(x), ints, Array(v), {static_cast<double>(0.1f), static_cast<double>(0.4f), 4.0});
      Tensor losses = Tensor::empty({rows}), dx = Tensor::empty({rows, k});
      dispatch<SoftmaxLoss>(Stream(), s, x.data(), labels.data<std::int32_t>(), v.data(), losses.mutable_data(),
                            dx.mutable_data());
      std::int64_t correct[2] = {};
      dispatch<TopK>(Stream(), rows, k, x.data(), labels.data<std::int32_t>(), correct);
      under_all_schedules([&] {
        INFO(rows << " x " << k);
        const Floats xg = on_gpu(x), vg = on_gpu(v);
        const simt::Buffer<std::int32_t> lg(labels.values<std::int32_t>(), nullptr);
        Floats l(rows, nullptr), d(rows * k, nullptr);
        dispatch<SoftmaxLoss>(kGpu, s, xg.data(), lg.data(), vg.data(), l.data(), d.data());
        double mean = 0.0;
        for (const float loss : l.to_host()) mean += static_cast<double>(loss) / static_cast<double>(rows);
        CHECK(std::fabs(mean - want) <= 8 * kEpsilon * std::fabs(want) + 1e-12);
        Array size = absolute(Array(dx));
        for (double& m : size.data) m += 1e-7;
        CHECK(mismatch(tensor(d, dx.shape()), Array(dx), size, 2.0) == "");
        simt::Buffer<std::int64_t> hits(2, nullptr);
        dispatch<TopK>(kGpu, rows, k, xg.data(), lg.data(), hits.data());
        CHECK(hits.to_host() == std::vector<std::int64_t>{correct[0], correct[1]});
      });
    }
  }
}

TEST_CASE("images are cropped, mirrored and normalised to the CPU's bits") {
  const std::int64_t count = 9, h = 7, w = 5, c = 3;
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(count * h * w * c));
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 37 + i / 7);
  const data::Normalizer normalizer(data::Normalization{{0.49f, 0.48f, 0.44f}, {0.24f, 0.23f, 0.26f}});
  std::vector<float> table;
  for (int j = 0; j < 3; ++j) table.insert(table.end(), normalizer.table(j).begin(), normalizer.table(j).end());
  const std::vector<std::int32_t> indices = {8, 0, 3, 3, 1};
  const data::AugmentOptions options{4, true, 77};
  std::vector<float> want(indices.size() * static_cast<std::size_t>(h * w * c));
  for (std::size_t n = 0; n < indices.size(); ++n) {
    data::write_image(pixels.data() + indices[n] * h * w * c, 7, 5, 3, normalizer,
                      data::draw_augmentation(options, 6, static_cast<std::uint64_t>(indices[n])), 4,
                      want.data() + n * static_cast<std::size_t>(h * w * c));
  }
  under_all_schedules([&] {
    const simt::Buffer<std::uint8_t> images(pixels);
    const simt::Buffer<std::int32_t> index(indices);
    const Floats tables(table);
    Floats out(static_cast<std::int64_t>(want.size()), nullptr);
    dispatch<AugmentImages>(kGpu, AugmentShape{5, h, w, c, 4, true, 77, 6}, images.data(), index.data(), tables.data(),
                            out.data());
    const std::vector<float> got = out.to_host();
    CHECK(std::memcmp(got.data(), want.data(), want.size() * sizeof(float)) == 0);
  });
}

TEST_CASE("SGD agrees with the reference, one tensor at a time and all in one launch") {
  for (const bool decoupled : {false, true}) {
    for (const bool nesterov : {false, true}) {
      const SgdOptions options{0.1f, 0.9f, 0.01f, decoupled, nesterov};
      const reference::SgdRule rule{static_cast<double>(options.rate), static_cast<double>(options.momentum),
                                    static_cast<double>(options.decay), decoupled, nesterov};
      under_all_schedules([&] {
        std::vector<Floats> w, v, g, w1, v1;
        std::vector<Array> want_w, want_v;
        std::vector<SgdParameter> parameters;
        for (const std::int64_t size : {0, 1, 31, 33, 129, 1000, 9001}) {
          const auto seed = static_cast<std::uint64_t>(size);
          const Tensor tw = random_tensor({size}, seed), tv = random_tensor({size}, seed + 1), tg = random_tensor({size}, seed + 2);
          w.push_back(on_gpu(tw)), v.push_back(on_gpu(tv)), g.push_back(on_gpu(tg));
          w1.push_back(on_gpu(tw)), v1.push_back(on_gpu(tv));
          want_w.push_back(Array(tw)), want_v.push_back(Array(tv));
          reference::sgd_step(rule, Array(tg), want_v.back(), want_w.back());
          dispatch<SgdStep>(kGpu, size, options, g.back().data(), v1.back().data(), w1.back().data());
          parameters.push_back({w.back().data(), v.back().data(), g.back().data(), size});
        }
        SgdTables tables(parameters, nullptr);
        tables.set_options(std::vector<SgdOptions>(parameters.size(), options));
        dispatch<SgdStepAll>(kGpu, tables.table());
        for (std::size_t p = 0; p < parameters.size(); ++p) {
          INFO("size " << parameters[p].size << ", decoupled " << decoupled << ", nesterov " << nesterov);
          const Shape shape{parameters[p].size};
          const Array size(shape, 3.0);  // |w|, |v|, |g| are at most 1
          CHECK(mismatch(tensor(w[p], shape), want_w[p], size, 2.0) == "");
          CHECK(mismatch(tensor(v[p], shape), want_v[p], size, 2.0) == "");
          CHECK(same_bytes(tensor(w[p], shape), tensor(w1[p], shape)));
          CHECK(same_bytes(tensor(v[p], shape), tensor(v1[p], shape)));
        }
      });
    }
  }
}
