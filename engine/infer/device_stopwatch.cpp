#include "engine/core/accelerator.h"
#include "engine/core/tensor.h"
#include "engine/infer/device_timer.h"
#include "engine/infer/layer_stopwatch.h"
#include "engine/infer/pair_form.h"
#include "kernels/convolution_end.h"
#include "kernels/gemm.h"
#include "kernels/math_mode.h"
#include "kernels/registry.h"

namespace hinge {
namespace {

using kernels::Clamp;

// Counted up when what runs on a GPU gets faster or other: times of before are not theirs.
constexpr int kRevision = 1;

constexpr Clamp kRelu{.low = 0.0f};

// The library's call and the pass behind it.
double layer_seconds(const kernels::ConvShape& s, bool linear, Device device) {
  const Tensor x = Tensor::full({s.input_size()}, 0.5f, device), w = Tensor::full({s.filter_size()}, 0.01f, device), b = Tensor::full({s.k}, 0.1f, device);
  Tensor y = Tensor::empty({s.output_size()}, DType::kFloat32, device);
  const Stream stream = stream_of(device);
  const auto run = [&] {
    if (linear) {
      kernels::dispatch<kernels::Gemm>(stream, kernels::GemmShape{.m = s.n, .n = s.k, .k = s.c, .transpose_b = true}, x.data(), w.data(), y.mutable_data());
    } else {
      kernels::dispatch<kernels::Conv2dForward>(stream, s, x.data(), w.data(), static_cast<const float*>(nullptr), y.mutable_data());
    }
    kernels::dispatch<kernels::ConvolutionEnd>(stream, kernels::ConvolutionEndShape{s.n * s.p() * s.q(), s.k, linear ? Clamp{} : kRelu}, y.data(), b.data(), static_cast<const float*>(nullptr), y.mutable_data());
  };
  return DeviceTimer(device, true, run).seconds();
}

}  // namespace

DeviceStopwatch::DeviceStopwatch(Device device, std::int64_t batch) : device_(device), batch_(batch) { require_accelerator(device); }

double DeviceStopwatch::seconds(const Spec& s) {
  const kernels::ConvShape shape{.n = batch_, .h = s.h, .w = s.w, .c = s.c, .k = s.k, .r = s.r, .s = s.s, .stride = s.stride, .padding = s.padding, .groups = s.groups};
  const bool linear = s.h * s.w == 1 && s.r * s.s == 1 && s.groups == 1;
  const double seconds = s.tail > 0 ? measure_pair({shape, s.tail, {}, kRelu}, device_) : layer_seconds(shape, linear, device_);
  require(seconds > 0.0, "{}: {} took no time: this device has no clock", machine(), s.to_string());
  return seconds;
}

std::string DeviceStopwatch::machine() const {
  return fmt::format("revision {}, {}, {}{}, calls of {} images", kRevision, accelerator()->name(device_.index), kernels::math_mode().tf32 ? "tf32" : "fp32", kernels::math_mode().deterministic ? " deterministic" : "", batch_);
}

}  // namespace hinge
