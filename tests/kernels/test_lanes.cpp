// Convolutions with images or filters in the lanes, against the float64 reference, in sizes that don't fill a vector.
#include "kernels/lanes.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/kernels/winograd.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;
namespace lanes = kernels::lanes;
using lanes::ConvForm;
using lanes::ConvSpec;
using lanes::Lanes;

namespace {

struct Operands {
  Tensor x, w, b, tail_w, tail_b, residual;
};

Operands random_operands(const ConvSpec& s, std::int64_t images) {
  return {random_tensor({images, s.h, s.w, s.c}, 1), random_tensor({s.k, s.r, s.s, s.c / s.groups}, 2), random_tensor({s.k}, 3),
          s.tail > 0 ? random_tensor({s.tail, 1, 1, s.k}, 4) : Tensor(), s.tail > 0 ? random_tensor({s.tail}, 5) : Tensor(),
          random_tensor({images, s.p(), s.q(), s.channels_out()}, 6)};
}

// In `parts` pieces, as so many threads would make them.
Tensor run(const ConvSpec& s, Lanes in_lanes, ConvForm form, const Operands& o, lanes::Clamp inner, lanes::Clamp outer, bool with_residual, int parts = 1) {
  const lanes::Convolution convolution(s, in_lanes, form, {o.w.data(), o.b.data()},
                                       s.tail > 0 ? lanes::ConvWeights{o.tail_w.data(), o.tail_b.data()} : lanes::ConvWeights{}, inner, outer);
  const std::int64_t images = o.x.dim(0), block = lanes_of(in_lanes), in = o.x.size() / images, out = o.residual.size() / images;
  Tensor y = Tensor::empty(o.residual.shape());
  Tensor x_block = Tensor::empty({in * block}), r_block = Tensor::empty({out * block}), y_block = Tensor::full({out * block}, 77.0f);
  for (std::int64_t first = 0; first < images; first += block) {
    const std::int64_t count = std::min(block, images - first);
    Tensor scratch = Tensor::full({convolution.scratch_size()}, std::nanf(""));
    const auto load = [&](std::int64_t features, const float* from, float* to) {
      if (in_lanes == Lanes::kImages) {
        lanes::load_images(count, features, from, to);
      } else {
        std::copy_n(from, features, to);
      }
    };
    load(in, o.x.data() + first * in, x_block.mutable_data());
    load(out, o.residual.data() + first * out, r_block.mutable_data());
    for (int part = 0; part < parts; ++part) {
      convolution.run(x_block.data(), with_residual ? r_block.data() : nullptr, y_block.mutable_data(), scratch.mutable_data(),
                      {part, parts});
    }
    if (in_lanes == Lanes::kImages) {
      lanes::store_images(count, out, y_block.data(), y.mutable_data() + first * out);
    } else {
      std::copy_n(y_block.data(), out, y.mutable_data() + first * out);
    }
  }
  return y;
}

Array clamped(Array x, lanes::Clamp clamp) {
  for (double& v : x.data) v = std::clamp(v, static_cast<double>(clamp.low), static_cast<double>(clamp.high));
  return x;
}

// The sum, or with Terms::kAbsolute what its rounding errors are relative to.
Array expected(const ConvSpec& s, ConvForm form, Terms terms, const Operands& o, lanes::Clamp inner, lanes::Clamp outer, bool with_residual) {
  const bool absolute_terms = terms == Terms::kAbsolute;
  const auto array = [&](const Tensor& t) { return absolute_terms ? absolute(Array(t)) : Array(t); };
  const auto end = [&](const Array& y, lanes::Clamp clamp) { return absolute_terms ? y : clamped(y, clamp); };
  Array y = reference::conv2d(array(o.x), array(o.w), array(o.b), {s.stride, s.padding, s.groups});
  if (form == ConvForm::kWinograd && absolute_terms) {
    const Array sums = winograd_forward(Array(o.x), Array(o.w), s.padding, terms);
    for (std::int64_t i = 0; i < y.size(); ++i) y[i] = sums[i] + std::abs(static_cast<double>(o.b.data()[i % s.k]));
  }
  if (s.tail > 0) y = reference::conv2d(end(y, inner), array(o.tail_w), array(o.tail_b), {});
  if (with_residual) y = reference::add(y, array(o.residual));
  return end(y, outer);
}

const std::vector<ConvSpec> kLayers = {
    {.h = 8, .w = 8, .c = 3, .k = 16, .r = 3, .s = 3, .padding = 1},
    {.h = 9, .w = 7, .c = 5, .k = 7, .r = 3, .s = 3, .padding = 1},
    {.h = 4, .w = 4, .c = 33, .k = 31, .r = 3, .s = 3, .padding = 1},
    {.h = 1, .w = 1, .c = 9, .k = 17, .r = 3, .s = 3, .padding = 1},
    {.h = 5, .w = 71, .c = 3, .k = 5, .r = 3, .s = 3, .padding = 1},  // more tiles beside each other than are transformed at once
    {.h = 2, .w = 2, .c = 31, .k = 33, .r = 3, .s = 3, .padding = 1},
    {.h = 4, .w = 3, .c = 5, .k = 9, .r = 3, .s = 3, .stride = 2, .padding = 1, .tail = 17},
    {.h = 2, .w = 3, .c = 6, .k = 8, .r = 5, .s = 3, .padding = 2, .groups = 2},
    {.h = 3, .w = 2, .c = 5, .k = 7, .r = 3, .s = 3, .padding = 2},
    {.h = 3, .w = 2, .c = 5, .k = 7, .r = 3, .s = 3, .padding = 7},  // a border larger than the picture
    {.h = 3, .w = 3, .c = 4, .k = 6, .r = 3, .s = 1, .padding = 1},  // columns with nothing inside
    {.h = 4, .w = 3, .c = 6, .k = 9, .r = 3, .s = 3, .stride = 2, .padding = 2, .groups = 3, .tail = 5},
    {.h = 6, .w = 11, .c = 4, .k = 129, .r = 3, .s = 3},
    {.h = 9, .w = 8, .c = 6, .k = 10, .r = 3, .s = 3, .stride = 2, .padding = 1},
    {.h = 7, .w = 7, .c = 12, .k = 20, .stride = 2},
    {.h = 5, .w = 6, .c = 1, .k = 1},
    {.h = 1, .w = 1, .c = 127, .k = 10},
    {.h = 1, .w = 1, .c = 33, .k = 129},
    {.h = 3, .w = 2, .c = 9, .k = 257, .r = 3, .s = 3, .padding = 1},
    {.h = 3, .w = 2, .c = 129, .k = 130, .r = 3, .s = 3, .padding = 1},  // more weights than a cache is trusted with
    {.h = 6, .w = 6, .c = 8, .k = 12, .r = 3, .s = 3, .padding = 1, .groups = 4},
    {.h = 7, .w = 5, .c = 18, .k = 18, .r = 3, .s = 3, .stride = 2, .padding = 1, .groups = 18},
    {.h = 11, .w = 11, .c = 3, .k = 8, .r = 7, .s = 7, .stride = 2, .padding = 3},
    {.h = 6, .w = 9, .c = 4, .k = 5, .r = 1, .s = 3, .padding = 1},
    {.h = 8, .w = 8, .c = 16, .k = 7, .r = 3, .s = 3, .padding = 1, .tail = 16},
    {.h = 9, .w = 13, .c = 16, .k = 19, .r = 3, .s = 3, .padding = 1, .tail = 1},
    {.h = 9, .w = 13, .c = 5, .k = 9, .r = 3, .s = 3, .padding = 1, .tail = 33},
    {.h = 9, .w = 13, .c = 5, .k = 9, .r = 3, .s = 3, .stride = 2, .padding = 1, .tail = 3},
    {.h = 6, .w = 6, .c = 8, .k = 8, .r = 3, .s = 3, .padding = 1, .groups = 8, .tail = 19},
};

}  // namespace

TEST_CASE("a convolution with images or filters in the lanes is the sum it is defined as, with bias, tail, residual and clamps") {
  const lanes::Clamp relu{.low = 0.0f}, relu6{.low = 0.0f, .high = 0.6f};
  for (const ConvSpec& s : kLayers) {
    const Operands o = random_operands(s, lanes::lanes_of(Lanes::kImages) + 3);
    for (const auto& [inner, outer, residual] : {std::tuple{lanes::Clamp{}, lanes::Clamp{}, false}, std::tuple{relu, relu6, true}, std::tuple{relu6, relu, false}}) {
      const auto check = [&](Lanes in_lanes, ConvForm form, int parts) {
        INFO(s.to_string() << ", lanes " << name_of(in_lanes) << ", " << name_of(form) << ", parts " << parts);
        CHECK(mismatch(run(s, in_lanes, form, o, inner, outer, residual, parts), expected(s, form, Terms::kSigned, o, inner, outer, residual),
                       expected(s, form, Terms::kAbsolute, o, inner, outer, residual)) == "");
      };
      for (Lanes in_lanes : {Lanes::kImages, Lanes::kChannels}) {
        for (ConvForm form : lanes::kConvForms) {
          if (!has_form(s, form, in_lanes)) continue;
          check(in_lanes, form, 1);
          check(in_lanes, form, 3);
        }
      }
    }
  }
}

TEST_CASE("the gathered form adds in the direct form's order, to the same bytes, however many share the work") {
  int layers = 0;
  for (const ConvSpec& s : kLayers) {
    if (!has_form(s, ConvForm::kGathered, Lanes::kChannels)) continue;
    INFO(s.to_string());
    const Operands o = random_operands(s, 2);
    const Tensor direct = run(s, Lanes::kChannels, ConvForm::kDirect, o, {}, {.low = 0.0f}, true);
    for (int parts : {1, 2, 5}) CHECK(same_bytes(run(s, Lanes::kChannels, ConvForm::kGathered, o, {}, {.low = 0.0f}, true, parts), direct));
    ++layers;
  }
  CHECK(layers >= 10);
}

TEST_CASE("the clipped form leaves out what is zero and adds the rest in the direct form's order, to the same bytes") {
  int layers = 0;
  for (const ConvSpec& s : kLayers) {
    for (const Lanes in_lanes : {Lanes::kImages, Lanes::kChannels}) {
      if (!has_form(s, ConvForm::kClipped, in_lanes)) continue;
      INFO(s.to_string() << ", lanes " << name_of(in_lanes));
      const Operands o = random_operands(s, 2);
      const Tensor direct = run(s, in_lanes, ConvForm::kDirect, o, {.low = -3.0f}, {.low = 0.0f}, true);
      for (int parts : {1, 2, 5}) CHECK(same_bytes(run(s, in_lanes, ConvForm::kClipped, o, {.low = -3.0f}, {.low = 0.0f}, true, parts), direct));
      ++layers;
    }
  }
  CHECK(layers >= 14);
  CHECK_FALSE(has_form({.h = 8, .w = 8, .c = 3, .k = 16, .r = 3, .s = 3, .padding = 1}, ConvForm::kClipped, Lanes::kImages));  // 92 % squared lie inside
  CHECK_FALSE(has_form({.h = 2, .w = 2, .c = 3, .k = 16}, ConvForm::kClipped, Lanes::kImages));                                // nothing lies outside
}

TEST_CASE("a convolution may write over its residual, in every form") {
  std::set<std::pair<Lanes, ConvForm>> seen;
  for (const ConvSpec& s : {ConvSpec{.h = 10, .w = 9, .c = 6, .k = 6, .r = 3, .s = 3, .padding = 1}, ConvSpec{.h = 2, .w = 3, .c = 5, .k = 70, .r = 3, .s = 3, .padding = 1}}) {
    for (const Lanes in_lanes : {Lanes::kImages, Lanes::kChannels}) {
      for (const ConvForm form : lanes::kConvForms) {
        if (!has_form(s, form, in_lanes)) continue;
        INFO(s.to_string() << ", lanes " << name_of(in_lanes) << ", " << name_of(form));
        const std::int64_t block = lanes::lanes_of(in_lanes), in = s.h * s.w * s.c * block, out = s.p() * s.q() * s.k * block;
        const Tensor x = random_tensor({in}, 1), w = random_tensor({s.k, s.r, s.s, s.c}, 2), residual = random_tensor({out}, 3);
        const lanes::Convolution convolution(s, in_lanes, form, {w.data(), nullptr}, {}, {}, {});
        Tensor apart = Tensor::empty({out}), same = residual.clone(), scratch = Tensor::empty({convolution.scratch_size()});
        convolution.run(x.data(), residual.data(), apart.mutable_data(), scratch.mutable_data());
        convolution.run(x.data(), same.data(), same.mutable_data(), scratch.mutable_data());
        CHECK(same_bytes(apart, same));
        seen.emplace(in_lanes, form);
      }
    }
  }
  CHECK(seen.size() == 7);  // all but the gathered form of images, which doesn't exist
}

TEST_CASE("lanes without an image change nothing in the others, and what they hold is finite") {
  const ConvSpec s{.h = 6, .w = 6, .c = 5, .k = 4, .r = 3, .s = 3, .padding = 1};
  const std::int64_t block = lanes::lanes_of(Lanes::kImages);
  const Operands all = random_operands(s, block);
  for (std::int64_t count = 1; count < block; ++count) {
    Operands some = all;
    const std::int64_t in = all.x.size() / block, out = all.residual.size() / block;
    some.x = Tensor::from({count, s.h, s.w, s.c}, all.x.values().subspan(0, static_cast<std::size_t>(count * in)));
    some.residual = Tensor::from({count, s.p(), s.q(), s.k}, all.residual.values().subspan(0, static_cast<std::size_t>(count * out)));
    const Tensor a = run(s, Lanes::kImages, ConvForm::kWinograd, all, {}, {}, true), b = run(s, Lanes::kImages, ConvForm::kWinograd, some, {}, {}, true);
    CHECK(std::equal(b.values().begin(), b.values().end(), a.values().begin()));
  }
}

TEST_CASE("NaN goes through a convolution's clamp") {
  const ConvSpec s{.h = 4, .w = 4, .c = 2, .k = 3, .r = 3, .s = 3, .padding = 1};
  Operands o = random_operands(s, 1);
  std::fill_n(o.x.mutable_data(), o.x.size(), std::nanf(""));
  for (Lanes in_lanes : {Lanes::kImages, Lanes::kChannels}) {
    const Tensor y = run(s, in_lanes, ConvForm::kDirect, o, {}, {.low = 0.0f, .high = 6.0f}, false);
    CHECK(std::ranges::all_of(y.values(), [](float v) { return std::isnan(v); }));
  }
}

TEST_CASE("a form that doesn't exist is refused by name") {
  const ConvSpec strided{.h = 8, .w = 8, .c = 4, .k = 4, .r = 3, .s = 3, .stride = 2, .padding = 1};
  const Operands o = random_operands(strided, 1);
  CHECK_FALSE(has_form(strided, ConvForm::kWinograd, Lanes::kImages));
  CHECK_THROWS_AS((lanes::Convolution(strided, Lanes::kImages, ConvForm::kWinograd, {o.w.data(), nullptr}, {}, {}, {})), std::invalid_argument);
  CHECK_THROWS_AS((lanes::Convolution(strided, Lanes::kImages, ConvForm::kGathered, {o.w.data(), nullptr}, {}, {}, {})), std::invalid_argument);
  const ConvSpec large{.h = 64, .w = 64, .c = 16, .k = 4, .r = 3, .s = 3, .padding = 1};  // 64 * 64 windows of 144
  CHECK_FALSE(has_form(large, ConvForm::kGathered, Lanes::kChannels));
}

TEST_CASE("more threads never have a larger share, and one image in Winograd's form is shared by more threads than it has rows of tiles for") {
  for (const ConvSpec& s : kLayers) {
    for (const Lanes in_lanes : {Lanes::kImages, Lanes::kChannels}) {
      for (const ConvForm form : lanes::kConvForms) {
        if (!has_form(s, form, in_lanes)) continue;
        INFO(s.to_string() << ", " << name_of(form));
        const Operands o = random_operands(s, 1);
        const lanes::Convolution convolution(s, in_lanes, form, {o.w.data(), o.b.data()}, s.tail > 0 ? lanes::ConvWeights{o.tail_w.data(), o.tail_b.data()} : lanes::ConvWeights{}, {}, {});
        CHECK(convolution.largest_share(1) == 1.0);
        for (int count = 2; count <= 40; ++count) {
          CHECK(convolution.largest_share(count) <= convolution.largest_share(count - 1));
          CHECK(convolution.largest_share(count) >= 1.0 / count);
        }
      }
    }
  }
  const ConvSpec s{.h = 16, .w = 16, .c = 32, .k = 32, .r = 3, .s = 3, .padding = 1};  // four rows of tiles, one block of filters
  const Operands o = random_operands(s, 1);
  CHECK(lanes::Convolution(s, Lanes::kChannels, ConvForm::kWinograd, {o.w.data(), nullptr}, {}, {}, {}).largest_share(16) == 0.25);
  const Tensor whole = run(s, Lanes::kChannels, ConvForm::kWinograd, o, {}, {}, true);
  for (const int parts : {3, 4, 16}) CHECK(same_bytes(run(s, Lanes::kChannels, ConvForm::kWinograd, o, {}, {}, true, parts), whole));
}
