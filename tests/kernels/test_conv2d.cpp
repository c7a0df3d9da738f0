// What belongs to the kernel alone: the numerical error of each form, and how choices are kept.
// Values and gradients in every shape are in tests/engine/ops/test_conv2d.cpp.
#include "kernels/conv2d.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "engine/core/device.h"
#include "kernels/registry.h"
#include "tests/kernels/winograd.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;
using kernels::ConvShape;

namespace {

struct Results {
  Tensor y, dx, dw, db;
};
bool operator==(const Results& a, const Results& b) {
  return same_bytes(a.y, b.y) && same_bytes(a.dx, b.dx) && same_bytes(a.dw, b.dw) &&
         same_bytes(a.db, b.db);
}

Results run(const ConvShape& s, bool bias, std::uint64_t seed = 0) {
  const Tensor x = random_tensor({s.n, s.h, s.w, s.c}, seed + 1),
               w = random_tensor({s.k, s.r, s.s, s.c / s.groups}, seed + 2);
  const Tensor b = random_tensor({s.k}, seed + 3), dy = random_tensor({s.n, s.p(), s.q(), s.k}, seed + 4);
  Results out{Tensor::empty(dy.shape()), Tensor::empty(x.shape()), Tensor::empty(w.shape()),
              Tensor::zeros({s.k})};
  kernels::dispatch<kernels::Conv2dForward>(Stream(), s, x.data(), w.data(),
                                            bias ? b.data() : nullptr, out.y.mutable_data());
  kernels::dispatch<kernels::Conv2dBackwardData>(Stream(), s, dy.data(), w.data(),
                                                 out.dx.mutable_data());
  kernels::dispatch<kernels::Conv2dBackwardWeights>(Stream(), s, x.data(), dy.data(),
                                                    out.dw.mutable_data(),
                                                    bias ? out.db.mutable_data() : nullptr);
  return out;
}

// dx and dw in float64, written as the sums they are.
struct Sums {
  Array y, dx, dw;
};
Sums sums(const ConvShape& s, const Array& x, const Array& w, const Array& dy) {
  Sums out{reference::conv2d(x, w, {}, {s.stride, s.padding, s.groups}), Array(x.shape),
           Array(w.shape)};
  for (std::int64_t n = 0; n < s.n; ++n) {
    for (std::int64_t p = 0; p < s.p(); ++p) {
      for (std::int64_t q = 0; q < s.q(); ++q) {
        for (std::int64_t r = 0; r < s.r; ++r) {
          for (std::int64_t t = 0; t < s.s; ++t) {
            const std::int64_t h = p * s.stride - s.padding + r, v = q * s.stride - s.padding + t;
            if (h < 0 || h >= s.h || v < 0 || v >= s.w) continue;
            for (std::int64_t k = 0; k < s.k; ++k) {
              const double d = dy[((n * s.p() + p) * s.q() + q) * s.k + k];
              for (std::int64_t c = 0; c < s.c; ++c) {
                const std::int64_t pixel = ((n * s.h + h) * s.w + v) * s.c + c;
                const std::int64_t filter = ((k * s.r + r) * s.s + t) * s.c + c;
                out.dx[pixel] += d * w[filter];
                out.dw[filter] += d * x[pixel];
              }
            }
          }
        }
      }
    }
  }
  return out;
}

const std::vector<ConvShape> kLayers = {
    {.n = 4, .h = 16, .w = 16, .c = 16, .k = 16, .r = 3, .s = 3, .padding = 1},
    {.n = 4, .h = 8, .w = 8, .c = 32, .k = 64, .r = 3, .s = 3, .stride = 2, .padding = 1},
    {.n = 2, .h = 8, .w = 8, .c = 64, .k = 64, .r = 3, .s = 3, .padding = 1},
    {.n = 2, .h = 8, .w = 8, .c = 64, .k = 64},
    {.n = 2, .h = 8, .w = 8, .c = 13, .k = 29, .r = 3, .s = 3, .padding = 1},  // as pruning leaves
                                                                               // them
};

// Whole tiles of 4x4 and ragged ones, with a border and without.
const std::vector<ConvShape> kWinogradLayers = {
    {.n = 4, .h = 32, .w = 32, .c = 16, .k = 16, .r = 3, .s = 3, .padding = 1},
    {.n = 4, .h = 16, .w = 16, .c = 32, .k = 32, .r = 3, .s = 3, .padding = 1},
    {.n = 4, .h = 8, .w = 8, .c = 64, .k = 64, .r = 3, .s = 3, .padding = 1},
    {.n = 2, .h = 9, .w = 7, .c = 32, .k = 48, .r = 3, .s = 3, .padding = 1},
    {.n = 2, .h = 16, .w = 16, .c = 32, .k = 32, .r = 3, .s = 3},
};

struct Operands {
  Array x, w, dy;
  explicit Operands(const ConvShape& s)
      : x(random_tensor({s.n, s.h, s.w, s.c}, 1)),
        w(random_tensor({s.k, s.r, s.s, s.c}, 2)),
        dy(random_tensor({s.n, s.p(), s.q(), s.k}, 4)) {}
};

Sums winograd(const ConvShape& s, const Operands& given, Terms terms) {
  return {winograd_forward(given.x, given.w, s.padding, terms),
          winograd_backward_data(given.dy, given.w, s.padding, terms),
          winograd_backward_weights(given.x, given.dy, s.padding, terms)};
}

// oneDNN 2 has Winograd's form in float32 on AVX-512 for channels in multiples of 16.
bool winograd_expected() {
#if defined(__x86_64__)
  return kernels::conv_library().starts_with("oneDNN 2.") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

// Largest |error| over largest |value|.
double relative(const Tensor& got, const Array& want) {
  double largest = 0.0;
  for (double value : want.data) largest = std::max(largest, std::fabs(value));
  return worst_error(got, want, Array(want.shape, largest)) * kEpsilon;
}

}  // namespace

TEST_CASE("the numerical error of every direct form stays below its bound") {
  // In units of 2^-24 sum |x||w|: these forms round once for each addition; 2 to 5 was seen.
  constexpr double kBound = 8.0;
  for (const ConvShape& s : kLayers) {
    const Operands given(s);
    const Sums want = sums(s, given.x, given.w, given.dy),
               magnitude = sums(s, absolute(given.x), absolute(given.w), absolute(given.dy));
    for (const std::string form : {"nhwc", "blocked", "padded", "gemm"}) {
      kernels::reset_conv(form);
      const Results got = run(s, false);
      INFO(s.to_string() << ", form " << form);
      CHECK(worst_error(got.y, want.y, magnitude.y) <= kBound);
      CHECK(worst_error(got.dx, want.dx, magnitude.dx) <= kBound);
      CHECK(worst_error(got.dw, want.dw, magnitude.dw) <= kBound);
    }
  }
  kernels::reset_conv();
}

TEST_CASE("Winograd's transforms, done exactly, give the convolution") {
  for (const ConvShape& s : kWinogradLayers) {
    INFO(s.to_string());
    const Operands given(s);
    const Sums want = sums(s, given.x, given.w, given.dy);
    const Sums got = winograd(s, given, Terms::kSigned);
    const Sums magnitude = winograd(s, given, Terms::kAbsolute);
    // Some 30 roundings of the transforms and one for each term of a sum, at 2^-53 each.
    const double terms = 30.0 + static_cast<double>(s.c + s.k + s.n * s.p() * s.q());
    const auto worst = [](const Array& a, const Array& b, const Array& scale) {
      double ratio = 0.0;
      for (std::int64_t i = 0; i < a.size(); ++i) {
        const double error = std::fabs(a[i] - b[i]) / scale[i];
        if (!(error <= ratio)) ratio = error;
      }
      return ratio * 0x1p53;
    };
    CHECK(worst(got.y, want.y, magnitude.y) <= terms);
    CHECK(worst(got.dx, want.dx, magnitude.dx) <= terms);
    CHECK(worst(got.dw, want.dw, magnitude.dw) <= terms);
  }
}

TEST_CASE("Winograd's form runs where the library has it, and errs by no more than its transforms' terms allow") {
  for (const ConvShape& s : kWinogradLayers) {
    kernels::reset_conv("winograd");
    const Results got = run(s, false);
    std::size_t forms = 0;
    for (const auto& [key, chosen] : kernels::conv_choices()) forms += chosen == "winograd";
    INFO(s.to_string() << ", Winograd's form in " << forms << " of 3 passes");
    if (winograd_expected()) {
      REQUIRE(forms == 3);
    } else if (forms == 0) {
      WARN("not tested: this processor or this oneDNN has no Winograd form for " << s.to_string());
      continue;
    }
    const Operands given(s);
    const Sums want = sums(s, given.x, given.w, given.dy),
               magnitude = winograd(s, given, Terms::kAbsolute),
               direct = sums(s, absolute(given.x), absolute(given.w), absolute(given.dy));
    // In units of 2^-24 times the sum of the absolute terms, as for the direct forms above.
    const double y = worst_error(got.y, want.y, magnitude.y),
                 dx = worst_error(got.dx, want.dx, magnitude.dx),
                 dw = worst_error(got.dw, want.dw, magnitude.dw);
    CHECK(y <= 8.0);
    CHECK(dx <= 8.0);
    CHECK(dw <= 8.0);
    // For the record (-s shows it): the same errors in units of 2^-24 sum |x||w|.
    UNSCOPED_INFO("error / (2^-24 sum|x||w|): y " << worst_error(got.y, want.y, direct.y) << ", dx "
                                                  << worst_error(got.dx, want.dx, direct.dx) << ", dw "
                                                  << worst_error(got.dw, want.dw, direct.dw)
                                                  << "; largest |error| / largest |value|: y " << relative(got.y, want.y)
                                                  << ", dx " << relative(got.dx, want.dx) << ", dw "
                                                  << relative(got.dw, want.dw));
    CHECK(relative(got.y, want.y) <= 1e-4);
  }
  kernels::reset_conv();
}

TEST_CASE("choices that were recorded are taken again and give the same bytes") {
  kernels::reset_conv();
  std::vector<Results> first;
  for (const ConvShape& s : kLayers) first.push_back(run(s, false)), first.push_back(run(s, true));
  const kernels::ConvChoices measured = kernels::conv_choices();
  CHECK(measured.size() == kLayers.size() * 5);  // forward and weights with and without bias, data
  // In a new process: nothing known, then the recorded choices.
  for (int repeat = 0; repeat < 3; ++repeat) {
    kernels::reset_conv();
    kernels::set_conv_choices(measured);
    std::size_t i = 0;
    for (const ConvShape& s : kLayers) {
      INFO(s.to_string());
      CHECK(run(s, false) == first[i++]);
      CHECK(run(s, true) == first[i++]);
    }
    CHECK(kernels::conv_choices() == measured);
  }
  kernels::reset_conv();
  CHECK(kernels::conv_choices().empty());
}

TEST_CASE("a recorded choice that does not exist here is said once, with what runs instead, and replaced in the record") {
  kernels::reset_conv("nhwc");
  const Results plain = run(kLayers[0], false);
  kernels::ConvChoices choices = kernels::conv_choices();
  const std::string key = kLayers[0].to_string() + " forward";
  REQUIRE(choices.contains(key));
  choices[key] = "of another machine";
  kernels::reset_conv();
  kernels::set_conv_choices(choices);
  std::vector<std::string> said;
  kernels::on_missing_conv_choice([&](const std::string& message) { said.push_back(message); });
  for (int repeat = 0; repeat < 3; ++repeat) CHECK(same_bytes(run(kLayers[0], false).y, plain.y));
  REQUIRE(said.size() == 1);
  INFO(said[0]);
  for (const std::string& part : {key, std::string("'of another machine'"), std::string("'nhwc'"), std::string("bytes")}) {
    CHECK(said[0].find(part) != std::string::npos);
  }
  choices[key] = "nhwc";
  CHECK(kernels::conv_choices() == choices);

  // What was measured or asked for in this process is no recorded choice.
  kernels::reset_conv("of another machine");
  run(kLayers[0], false);
  kernels::reset_conv();
  run(kLayers[0], false);
  CHECK(said.size() == 1);
  kernels::on_missing_conv_choice(nullptr);
  kernels::reset_conv();
}

TEST_CASE("threads that convolve the same shape at the same time don't touch each other's numbers, in any form") {
  const ConvShape shape{.n = 2, .h = 16, .w = 16, .c = 17, .k = 19, .r = 3, .s = 3, .padding = 1};
  for (const char* form : {"nhwc", "blocked", "winograd", "padded", "gemm"}) {
    kernels::reset_conv(form);
    constexpr int kThreads = 4, kTimes = 50;
    std::vector<Results> alone;
    for (int t = 0; t < kThreads; ++t) alone.push_back(run(shape, false, static_cast<std::uint64_t>(10 * t)));
    std::vector<int> wrong(kThreads, 0);
    {
      std::vector<std::jthread> threads;
      for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
          const auto u = static_cast<std::size_t>(t);
          for (int i = 0; i < kTimes; ++i) wrong[u] += run(shape, false, static_cast<std::uint64_t>(10 * t)) == alone[u] ? 0 : 1;
        });
      }
    }
    INFO(form);
    CHECK(wrong == std::vector<int>(kThreads, 0));
  }
  kernels::reset_conv();
}

TEST_CASE("a forced form is taken wherever it exists, and recorded by name") {
  for (const std::string form : {"nhwc", "blocked", "gemm"}) {
    kernels::reset_conv(form);
    run(kLayers[3], false);  // pointwise: all three exist
    for (const auto& [key, chosen] : kernels::conv_choices()) CHECK(chosen == form);
  }
  kernels::reset_conv("gemm");
  run(kLayers[0], false);  // 3x3: no matrix product, another form steps in
  for (const auto& [key, chosen] : kernels::conv_choices()) CHECK(chosen != "gemm");
  kernels::reset_conv();
}

TEST_CASE("a choice set by hand overrides the forced form") {
  kernels::reset_conv("nhwc");
  run(kLayers[3], false);
  kernels::ConvChoices choices = kernels::conv_choices();
  for (auto& [key, chosen] : choices) chosen = "gemm";
  kernels::set_conv_choices(choices);
  run(kLayers[3], false);
  CHECK(kernels::conv_choices() == choices);
  kernels::reset_conv();
}

TEST_CASE("a shape says what it is, how large it is and what it costs") {
  const ConvShape s{.n = 2,
                    .h = 7,
                    .w = 9,
                    .c = 8,
                    .k = 12,
                    .r = 3,
                    .s = 5,
                    .stride = 2,
                    .padding = 1,
                    .groups = 4};
  CHECK(s.to_string() == "n2 h7 w9 c8 k12 r3 s5 stride2 pad1 groups4");
  CHECK(s.p() == 4);
  CHECK(s.q() == 4);
  CHECK(s.input_size() == 2 * 7 * 9 * 8);
  CHECK(s.filter_size() == 12 * 3 * 5 * 2);
  CHECK(s.output_size() == 2 * 4 * 4 * 12);
  CHECK(s.macs() == 2 * 4 * 4 * 12 * 3 * 5 * 2);
}

TEST_CASE("who keeps functions by key sees that choices were set or dropped, and is not told of one that was recorded") {
  const kernels::ConvChoices before = kernels::conv_choices();
  const std::uint64_t first = kernels::conv_choices_version();
  kernels::record_conv_choice("a test's key", "direct");
  CHECK(kernels::conv_choices_version() == first);
  kernels::set_conv_choices(before);
  const std::uint64_t second = kernels::conv_choices_version();
  CHECK(second != first);
  kernels::reset_conv();
  CHECK(kernels::conv_choices_version() != second);
  kernels::set_conv_choices(before);
}
