#include "engine/infer/pair_form.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "engine/core/accelerator.h"
#include "engine/infer/device_timer.h"
#include "kernels/convolution_end.h"
#include "kernels/math_mode.h"
#include "kernels/registry.h"

namespace hinge {
namespace {

using kernels::Clamp;
using kernels::ConvShape;
using kernels::LowRankPairOperands;
using kernels::LowRankPairShape;

void convolution(const ConvShape& s, const Clamp& clamp, const float* x, const float* w, const float* b, const float* z, float* y, const Stream& stream) {
  kernels::dispatch<kernels::Conv2dForward>(stream, s, x, w, static_cast<const float*>(nullptr), y);
  if (b == nullptr && z == nullptr && clamp == Clamp{}) return;
  kernels::dispatch<kernels::ConvolutionEnd>(stream, kernels::ConvolutionEndShape{s.n * s.p() * s.q(), s.k, clamp}, y, b, z, y);
}

std::string key_of(const LowRankPairShape& s, bool residual, bool as_graph, Device device) {
  return accelerator()->name(device.index) + (kernels::math_mode().tf32 ? " tf32" : "") + (kernels::math_mode().deterministic ? " deterministic" : "") + " low-rank pair " + s.thin.to_string() + " channels" + std::to_string(s.k) +
         (residual ? " residual" : "") + (as_graph ? "" : " eager") + (s.inner == Clamp{} ? "" : " clamped between");
}

// Operands of the shape, of no particular values.
struct Trial {
  Trial(const LowRankPairShape& s, bool residual, Device device)
      : x(Tensor::full({s.thin.input_size()}, 0.5f, device)),
        u(Tensor::full({s.thin.filter_size()}, 0.01f, device)),
        v(Tensor::full({s.k * s.thin.k}, 0.01f, device)),
        biases(Tensor::full({std::max(s.thin.k, s.k)}, 0.1f, device)),
        y(Tensor::empty({s.pixels() * s.k}, DType::kFloat32, device)),
        z(residual ? Tensor::full(y.shape(), 0.5f, device) : Tensor()),
        scratch(Tensor::empty({s.pixels() * s.thin.k}, DType::kFloat32, device)),
        merged(s.inner == Clamp{} ? Tensor::full({merged_shape(s).filter_size()}, 0.01f, device) : Tensor()) {}
  LowRankPairOperands operands() const { return {x.data(), u.data(), biases.data(), v.data(), biases.data(), z.defined() ? z.data() : nullptr}; }

  Tensor x, u, v, biases, y, z, scratch, merged;
};

double seconds_of(PairForm form, const LowRankPairShape& shape, Trial& trial, bool as_graph, Device device) {
  const auto run = [&] {
    const LowRankPairOperands o = trial.operands();
    if (form == PairForm::kMerged) {
      convolution(merged_shape(shape), shape.outer, o.x, trial.merged.data(), o.d, o.z, trial.y.mutable_data(), stream_of(device));
    } else {
      run_pair(form, shape, o, trial.scratch.mutable_data(), trial.y.mutable_data(), stream_of(device));
    }
  };
  return DeviceTimer(device, as_graph, run).seconds();
}

}  // namespace

const char* name_of(PairForm form) {
  constexpr std::array names = {"measured", "fused", "two calls", "merged"};
  return names[static_cast<std::size_t>(form)];
}

std::int64_t scratch_floats(PairForm form, const LowRankPairShape& shape) { return form == PairForm::kFused ? 0 : shape.pixels() * shape.thin.k; }

ConvShape merged_shape(const LowRankPairShape& shape) {
  ConvShape merged = shape.thin;
  merged.k = shape.k;
  return merged;
}

double measure_pair(const LowRankPairShape& shape, Device device) {
  Trial trial(shape, false, device);
  const double two_calls = seconds_of(PairForm::kTwoCalls, shape, trial, true, device);
  return kernels::can_fuse(shape) ? std::min(two_calls, seconds_of(PairForm::kFused, shape, trial, true, device)) : two_calls;
}

void run_pair(PairForm form, const LowRankPairShape& s, const LowRankPairOperands& o, float* scratch, float* y, const Stream& stream) {
  if (form == PairForm::kFused) {
    kernels::dispatch<kernels::LowRankPair>(stream, s, o, y);
    return;
  }
  convolution(s.thin, s.inner, o.x, o.u, o.b, nullptr, scratch, stream);
  const ConvShape wide{.n = s.thin.n, .h = s.thin.p(), .w = s.thin.q(), .c = s.thin.k, .k = s.k};
  convolution(wide, s.outer, scratch, o.v, o.d, o.z, y, stream);
}

PairForm choose_pair_form(PairForm wanted, const LowRankPairShape& shape, bool residual, bool as_graph, Device device) {
  std::vector<PairForm> forms;  // that exist; of equally fast ones the first
  if (kernels::can_fuse(shape)) forms.push_back(PairForm::kFused);
  forms.push_back(PairForm::kTwoCalls);
  if (shape.inner == Clamp{} && shape.thin.groups == 1) forms.push_back(PairForm::kMerged);
  if (wanted != PairForm::kMeasured) return std::ranges::count(forms, wanted) > 0 ? wanted : PairForm::kTwoCalls;
  if (forms.size() == 1 || shape.pixels() == 0) return forms.front();  // nothing to choose, or nothing to measure
  const std::string key = key_of(shape, residual, as_graph, device);
  if (const std::optional<std::string> recorded = kernels::conv_choice(key)) {
    for (const PairForm form : forms) {
      if (*recorded == name_of(form)) return form;
    }
  }
  Trial trial(shape, residual, device);
  std::vector<double> seconds;
  for (const PairForm form : forms) seconds.push_back(seconds_of(form, shape, trial, as_graph, device));
  const PairForm best = forms[static_cast<std::size_t>(std::ranges::min_element(seconds) - seconds.begin())];
  kernels::record_conv_choice(key, name_of(best));
  return best;
}

}  // namespace hinge
