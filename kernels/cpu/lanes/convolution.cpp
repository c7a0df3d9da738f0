// A convolution on one block of images: weights packed once, then the direct form. The others are in winograd.cpp,
// gathered.cpp and clipped.cpp.
#include "kernels/cpu/lanes/convolution.h"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace hinge::kernels::lanes {

namespace {

constexpr std::int64_t kMostGathered = 1 << 18;     // floats: 1 MiB, half of a core's second cache
constexpr std::int64_t kMostTransformed = 1 << 15;  // weights of a channel and a filter: 4.5 MiB of transforms, for one image
constexpr std::int64_t kManyWeights = 1 << 17;      // floats: half a MiB
constexpr double kMostInside = 0.8;                 // of the taps, where leaving out the others is worth a try: pictures of up to 6x6 for 3x3 filters

}  // namespace

std::string ConvSpec::to_string() const {
  std::string text;
  const auto add = [&](const std::string& name, std::int64_t value) {
    if (!text.empty()) text += ' ';
    text += name + std::to_string(value);
  };
  add("h", h), add("w", w), add("c", c), add("k", k), add("r", r), add("s", s);
  add("stride", stride), add("pad", padding), add("groups", groups), add("tail", tail);
  return text;
}

const char* name_of(ConvForm form) {
  constexpr std::array names = {"direct", "winograd", "gathered", "clipped"};
  return names[static_cast<std::size_t>(form)];
}

const char* name_of(Lanes lanes) { return lanes == Lanes::kImages ? "images" : "channels"; }

bool has_form(const ConvSpec& s, ConvForm form, Lanes lanes) {
  switch (form) {
    case ConvForm::kDirect: return true;
    case ConvForm::kWinograd:
      return s.r == 3 && s.s == 3 && s.stride == 1 && s.groups == 1 && (lanes == Lanes::kImages || packed_size<float>(s.k, s.c) <= kMostTransformed);
    case ConvForm::kGathered: return lanes == Lanes::kChannels && s.groups == 1 && s.tail == 0 && gathered_scratch(s) <= kMostGathered;
    case ConvForm::kClipped: return share_inside(s) <= kMostInside;
  }
  return false;
}

Convolution::Convolution(const ConvSpec& spec, Lanes lanes, ConvForm form, const ConvWeights& weights, const ConvWeights& tail, Clamp inner, Clamp outer)
    : spec_(spec), lanes_(lanes), form_(form), inner_(inner), outer_(outer) {
  if (!has_form(spec, form, lanes)) throw std::invalid_argument(std::string("lanes: no ") + name_of(form) + " form of " + spec.to_string());
  with_element(lanes, [&]<class Element>(Element) {
    const std::int64_t k = spec.k / spec.groups, window = spec.r * spec.s * (spec.c / spec.groups), size = packed_size<Element>(k, window);
    if (form == ConvForm::kWinograd) {
      weights_ = pack_winograd<Element>(spec, weights.w);
    } else {
      weights_.resize(static_cast<std::size_t>(spec.groups * size));
      for (std::int64_t g = 0; g < spec.groups; ++g) pack_filters<Element>(k, window, weights.w + g * k * window, weights_.data() + g * size);
    }
    if (spec.tail > 0) {
      tail_weights_.resize(static_cast<std::size_t>(packed_size<Element>(spec.tail, spec.k)));
      pack_filters<Element>(spec.tail, spec.k, tail.w, tail_weights_.data());
    }
  });
  if (weights.b != nullptr) bias_.assign(weights.b, weights.b + spec.k);
  if (spec.tail > 0 && tail.b != nullptr) tail_bias_.assign(tail.b, tail.b + spec.tail);
  std::int64_t scratch = 0;  // elements
  if (form == ConvForm::kWinograd) {
    scratch = lanes == Lanes::kImages ? winograd_scratch<Vector>(spec) : winograd_scratch<float>(spec);
  } else if (form == ConvForm::kGathered) {
    scratch = gathered_scratch(spec);
  } else if (form == ConvForm::kClipped) {
    scratch = spec.tail > 0 ? spec.p() * spec.q() * spec.k : 0;
  } else {
    if (spec.padding > 0) scratch += (spec.h + 2 * spec.padding) * (spec.w + 2 * spec.padding) * spec.c;
    if (spec.tail > 0) scratch += spec.q() * spec.k;
  }
  scratch_ = scratch * lanes_of(lanes);
}

double Convolution::largest_share(std::int64_t count) const {
  std::int64_t parts = spec_.p();
  with_element(lanes_, [&]<class Element>(Element) {
    if (form_ == ConvForm::kGathered) parts = filter_blocks<Element>(spec_.k);
    if (form_ == ConvForm::kWinograd) parts = winograd_parts<Element>(spec_, count);
    if (form_ == ConvForm::kClipped) parts = clipped_parts<Element>(spec_);
  });
  return static_cast<double>((parts + count - 1) / count) / static_cast<double>(parts);
}

Convolution::Parts Convolution::parts() const {
  const auto or_null = [](const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); };
  return {spec_, weights_.data(), or_null(bias_), or_null(tail_weights_), or_null(tail_bias_), inner_, outer_};
}

void Convolution::run(const float* x, const float* residual, float* y, float* scratch, Share share) const {
  if (form_ == ConvForm::kGathered) return run_gathered(parts(), x, residual, y, scratch, share);
  with_element(lanes_, [&]<class Element>(Element) {
    const auto on = [&](const auto& run, const auto& part) { run(parts(), as<Element>(x), as<Element>(residual), as<Element>(y), as<Element>(scratch), part); };
    if (form_ == ConvForm::kWinograd) return on(run_winograd<Element>, share);
    if (form_ == ConvForm::kClipped) return on(run_clipped<Element>, share);
    on(run_direct<Element>, share.of(spec_.p()));
  });
}

template <class Element>
const Element* with_border(const ConvSpec& s, const Element* x, Rows rows, Element* padded) {
  const std::int64_t border = s.padding * s.c, width = s.w * s.c;
  Element* to = padded;
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    const std::int64_t h = row - s.padding;
    if (h < 0 || h >= s.h) {
      to = std::fill_n(to, width + 2 * border, Element{});
      continue;
    }
    to = std::fill_n(to, border, Element{});
    to = std::copy_n(x + h * width, width, to);
    to = std::fill_n(to, border, Element{});
  }
  return padded;
}

template <class Element>
void run_direct(const Convolution::Parts& conv, const Element* x, const Element* residual, Element* y, Element* scratch, Rows rows) {
  const ConvSpec& s = conv.spec;
  if (rows.begin >= rows.end) return;
  const std::int64_t row_stride = (s.w + 2 * s.padding) * s.c, c = s.c / s.groups, k = s.k / s.groups, q = s.q(), out = s.channels_out();
  const std::int64_t first = rows.begin * s.stride;  // row of x with its border that the first output row begins at
  if (s.padding > 0) {
    const Rows read{first, (rows.end - 1) * s.stride + s.r};
    x = with_border(s, x, read, scratch);
    scratch += (read.end - read.begin) * row_stride;
  } else {
    x += first * row_stride;
  }
  const Window window = s.groups == 1 ? Window{.outer = s.r, .outer_stride = row_stride, .inner = 1, .inner_stride = 0, .length = s.s * s.c}
                                      : Window{.outer = s.r, .outer_stride = row_stride, .inner = s.s, .inner_stride = s.c, .length = c};
  const PixelRow row{.pixels = q, .x_step = s.stride * s.c, .y_step = s.k};
  const std::int64_t packed = packed_size<Element>(k, window.filter_size()), blocks = filter_blocks<Element>(k);
  const bool tail = s.tail > 0;
  // Weights that a core's caches don't hold are read once for all rows, block of filters by block, and not once for each row.
  const std::int64_t together = packed > kManyWeights && !tail ? 1 : blocks;
  for (std::int64_t block = 0; block < blocks; block += together) {
    for (std::int64_t p = rows.begin; p < rows.end; ++p) {
      const Element* from = x + (p - rows.begin) * s.stride * row_stride;
      Element* to = y + p * q * out;
      const Element* added = residual != nullptr ? residual + p * q * out : nullptr;
      for (std::int64_t g = 0; g < s.groups; ++g) {
        product<Element>(window, row, k, from + g * c, conv.weights + g * packed, conv.bias != nullptr ? conv.bias + g * k : nullptr,
                         tail || added == nullptr ? nullptr : added + g * k, tail ? conv.inner : conv.outer, (tail ? scratch : to) + g * k, {block, block + together});
      }
      if (tail) run_tail<Element>(conv, q, scratch, added, to);
    }
  }
}

template const float* with_border<float>(const ConvSpec& s, const float* x, Rows rows, float* padded);

}  // namespace hinge::kernels::lanes
