// The end of a convolution and the low-rank pair on CUDA, against float64, under three schedules.
#include <cmath>
#include <limits>

#include "engine/core/device.h"
#include "kernels/convolution_end.h"
#include "kernels/low_rank_pair.h"
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
const Clamp kNone, kRelu{.low = 0.0f}, kCapped{.low = 0.0f, .high = 0.6f};

using Floats = simt::Buffer<float>;

Array clamped(Array x, Clamp clamp) {
  for (double& v : x.data) v = std::min(std::max(v, static_cast<double>(clamp.low)), static_cast<double>(clamp.high));
  return x;
}

// A tensor on the GPU, `offset` floats behind a multiple of 16 bytes; no data where there is no tensor.
class Operand {
 public:
  Operand(const Tensor& tensor, std::int64_t offset) : offset_(offset), defined_(tensor.defined()) {
    if (!defined_) return;
    std::vector<float> values(static_cast<std::size_t>(offset), std::numeric_limits<float>::quiet_NaN());
    values.insert(values.end(), tensor.values().begin(), tensor.values().end());
    buffer_ = Floats(values, nullptr);
  }
  float* data() { return defined_ ? buffer_.data() + offset_ : nullptr; }
  // Checks that nothing in front of it was written.
  Tensor read(const Shape& shape) const {
    const std::vector<float> values = buffer_.to_host();
    for (std::int64_t i = 0; i < offset_; ++i) CHECK(std::isnan(values[static_cast<std::size_t>(i)]));
    return Tensor::from(shape, std::vector<float>(values.begin() + offset_, values.end()));
  }

 private:
  std::int64_t offset_;
  bool defined_;
  Floats buffer_;
};
Operand unwritten(const Shape& shape, std::int64_t offset) { return {Tensor::full(shape, std::numeric_limits<float>::quiet_NaN()), offset}; }

struct PairTensors {
  Tensor x, u, b, v, d, z;
};
PairTensors random_tensors(const LowRankPairShape& s, bool biases, bool residual) {
  const ConvShape& t = s.thin;
  PairTensors o{random_tensor({t.n, t.h, t.w, t.c}, 1), random_tensor({t.k, t.r, t.s, t.c}, 2), {}, random_tensor({s.k, 1, 1, t.k}, 4), {}, {}};
  if (biases) o.b = random_tensor({t.k}, 3), o.d = random_tensor({s.k}, 5);
  if (residual) o.z = random_tensor({t.n, t.p(), t.q(), s.k}, 6);
  return o;
}

// The value, or what its rounding errors are relative to.
Array expected(const LowRankPairShape& s, const PairTensors& o, bool magnitude) {
  const auto array = [&](const Tensor& tensor) { return magnitude ? absolute(Array(tensor)) : Array(tensor); };
  const auto end = [&](const Array& y, Clamp clamp) { return magnitude ? y : clamped(y, clamp); };
  const Array t = end(reference::conv2d(array(o.x), array(o.u), array(o.b), {s.thin.stride, s.thin.padding, 1}), s.inner);
  Array y = reference::conv2d(t, array(o.v), array(o.d), {});
  if (o.z.defined()) y = reference::add(y, array(o.z));
  return end(y, s.outer);
}

std::string text(const LowRankPairShape& s) { return s.thin.to_string() + " -> " + std::to_string(s.k); }

Tensor run_pair(const LowRankPairShape& s, const PairTensors& o, std::int64_t offset = 0) {
  Operand x(o.x, offset), u(o.u, offset), b(o.b, offset), v(o.v, offset), d(o.d, offset), z(o.z, offset);
  const Shape shape{s.thin.n, s.thin.p(), s.thin.q(), s.k};
  Operand y = unwritten(shape, offset);
  dispatch<LowRankPair>(kGpu, s, LowRankPairOperands{x.data(), u.data(), b.data(), v.data(), d.data(), z.data()}, y.data());
  return y.read(shape);
}

void check_pair(const LowRankPairShape& s, bool biases = true, bool residual = true, std::int64_t offset = 0) {
  const PairTensors o = random_tensors(s, biases, residual);
  const Array want = expected(s, o, false), magnitude = expected(s, o, true);
  under_all_schedules([&] {
    INFO(text(s) << ", biases " << biases << ", residual " << residual << ", offset " << offset);
    CHECK(mismatch(run_pair(s, o, offset), want, magnitude) == "");
  });
}

}  // namespace

TEST_CASE("the end of a convolution adds bias and residual and clamps, at every size and alignment, in place too") {
  for (const std::int64_t rows : {0, 1, 33, 129}) {
    for (const std::int64_t c : {1, 4, 31, 32, 33, 128}) {
      const Tensor x = random_tensor({rows, c}, 1), bias = random_tensor({c}, 2), z = random_tensor({rows, c}, 3);
      for (const auto& [clamp, has_bias, has_residual, offset] : {std::tuple{kNone, true, false, 0}, std::tuple{kRelu, true, true, 0}, std::tuple{kCapped, true, true, 1},
                                                                  std::tuple{kCapped, false, true, 0}, std::tuple{kRelu, false, false, 0}}) {
        const Tensor b = has_bias ? bias : Tensor(), residual = has_residual ? z : Tensor();
        Array want(x), magnitude = absolute(want);
        for (std::int64_t i = 0; i < rows * c; ++i) {
          const double more[] = {has_bias ? static_cast<double>(bias.data()[i % c]) : 0.0, has_residual ? static_cast<double>(z.data()[i]) : 0.0};
          for (const double term : more) want[i] += term, magnitude[i] += std::fabs(term);
        }
        want = clamped(want, clamp);
        const ConvolutionEndShape shape{rows, c, clamp};
        Tensor on_cpu = Tensor::empty({rows, c});
        dispatch<ConvolutionEnd>(Stream(), shape, x.data(), has_bias ? b.data() : nullptr, has_residual ? z.data() : nullptr, on_cpu.mutable_data());
        CHECK(mismatch(on_cpu, want, magnitude, 2.0) == "");
        under_all_schedules([&] {
          INFO(rows << " x " << c << ", bias " << has_bias << ", residual " << has_residual << ", offset " << offset);
          Operand in(x, offset), on_gpu(b, offset), add(residual, offset), y = unwritten({rows, c}, offset);
          dispatch<ConvolutionEnd>(kGpu, shape, in.data(), on_gpu.data(), add.data(), y.data());
          CHECK(same_bytes(y.read({rows, c}), on_cpu));
          dispatch<ConvolutionEnd>(kGpu, shape, in.data(), on_gpu.data(), add.data(), in.data());
          CHECK(same_bytes(in.read({rows, c}), on_cpu));
        });
      }
    }
  }
}

TEST_CASE("NaN passes the end of a convolution and a pair, clamped or not") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Floats x(std::vector<float>{nan, -1.0f, 2.0f, -0.5f, nan});
  dispatch<ConvolutionEnd>(kGpu, ConvolutionEndShape{5, 1, kCapped}, x.data(), static_cast<float*>(nullptr), static_cast<float*>(nullptr), x.data());
  const std::vector<float> y = x.to_host();
  CHECK((std::isnan(y[0]) && y[1] == 0.0f && y[2] == 0.6f && y[3] == 0.0f && std::isnan(y[4])));

  const LowRankPairShape s{{.n = 1, .h = 3, .w = 3, .c = 4, .k = 3, .r = 3, .s = 3, .padding = 1}, 5, kRelu, kCapped};
  PairTensors o = random_tensors(s, true, false);
  o.x.mutable_data()[0] = nan;  // seen by the windows of the first four pixels' neighbourhood
  const Tensor out = run_pair(s, o);
  for (std::int64_t i = 0; i < out.size(); ++i) CHECK(std::isnan(out.data()[i]) == (i / 5 % 3 < 2 && i / 15 < 2));
}

TEST_CASE("a pair is the two convolutions it stands for, for ranks around every tile") {
  for (const std::int64_t rank : {1, 3, 7, 8, 9, 16, 17, 31, 32, 33, 64, 65, 127, 128, 129, 256}) {
    check_pair({{.n = 1, .h = 5, .w = 7, .c = 4, .k = rank, .r = 3, .s = 3, .padding = 1}, 12, rank % 2 == 0 ? kRelu : kNone, kCapped});
  }
}

TEST_CASE("a pair is the two convolutions it stands for, for any number of channels on either side") {
  for (const std::int64_t c : {1, 3, 15, 16, 17, 32, 33}) {
    for (const std::int64_t k : {1, 4, 31, 33}) check_pair({{.n = 1, .h = 3, .w = 4, .c = c, .k = 7, .r = 3, .s = 3, .padding = 1}, k, kNone, kRelu});
  }
  for (const std::int64_t rank : {7, 20, 66, 130}) {
    for (const std::int64_t k : {127, 128, 129}) check_pair({{.n = 1, .h = 2, .w = 3, .c = 3, .k = rank, .r = 1, .s = 1}, k, kCapped, kNone});
  }
}

TEST_CASE("a pair is the two convolutions it stands for, for any number of pixels, and for none") {
  for (const std::int64_t rank : {5, 12, 20, 66, 130}) {
    for (const std::int64_t pixels : {1, 31, 32, 33, 63, 64, 65, 127, 128, 129}) {
      check_pair({{.n = 1, .h = 1, .w = pixels, .c = 2, .k = rank, .r = 1, .s = 1}, 3, kRelu, kNone}, true, pixels % 2 == 0);
    }
    for (const std::int64_t images : {0, 3}) check_pair({{.n = images, .h = 9, .w = 5, .c = 2, .k = rank, .r = 3, .s = 1}, 3, kNone, kRelu});
  }
}

TEST_CASE("a pair is the two convolutions it stands for, for windows, strides and paddings of every kind") {
  const std::vector<ConvShape> shapes = {
      {.n = 2, .h = 9, .w = 7, .c = 4, .k = 5, .r = 3, .s = 3, .stride = 2, .padding = 1},
      {.n = 2, .h = 8, .w = 8, .c = 8, .k = 4, .r = 3, .s = 3, .stride = 2},
      {.n = 3, .h = 11, .w = 11, .c = 3, .k = 8, .r = 7, .s = 7, .stride = 2, .padding = 3},
      {.n = 1, .h = 6, .w = 9, .c = 4, .k = 5, .r = 1, .s = 3, .padding = 1},
      {.n = 1, .h = 9, .w = 6, .c = 4, .k = 5, .r = 3, .s = 1, .stride = 3, .padding = 2},
      {.n = 5, .h = 1, .w = 1, .c = 32, .k = 9, .r = 3, .s = 3, .padding = 1},
      {.n = 2, .h = 4, .w = 4, .c = 33, .k = 31, .r = 5, .s = 5, .padding = 4},  // windows that see nothing of the picture
  };
  for (const ConvShape& s : shapes) check_pair({s, 18, kNone, kRelu}), check_pair({s, 16, kRelu, kCapped}, false, false);
}

TEST_CASE("a pair reads and writes at any alignment and nothing in front of its operands") {
  for (const std::int64_t offset : {1, 2}) check_pair({{.n = 1, .h = 4, .w = 5, .c = 8, .k = 12, .r = 3, .s = 3, .padding = 1}, 16, kRelu, kRelu}, true, true, offset);
}

TEST_CASE("a pair with more ranks than shared memory holds, or with groups, can't be fused and says so") {
  LowRankPairShape s{{.n = 1, .h = 4, .w = 4, .c = 4, .k = kMostFusedRank + 1, .r = 3, .s = 3, .padding = 1}, 4, kNone, kNone};
  for (const Stream& on : {Stream(), kGpu}) {
    CHECK_THROWS_WITH(dispatch<LowRankPair>(on, s, LowRankPairOperands{}, static_cast<float*>(nullptr)), contains("can't fuse") && contains("k257"));
  }
  s.thin.k = 4;
  CHECK(can_fuse(s));
  s.thin.groups = 2;
  CHECK_FALSE(can_fuse(s));
}
