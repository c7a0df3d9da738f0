#include <omp.h>

#include <algorithm>
#include <chrono>

#include "engine/core/processor.h"
#include "engine/core/tensor.h"
#include "engine/infer/layer_stopwatch.h"

namespace hinge {
namespace {

namespace lanes = kernels::lanes;

constexpr int kRuns = 5;  // behind a first one; the fastest counts, the others were disturbed
// Counted up when convolutions get faster or take other forms: times of before are not theirs.
constexpr int kRevision = 4;

}  // namespace

int threads_of_block(lanes::Lanes lanes) { return lanes == lanes::Lanes::kChannels ? omp_get_max_threads() : 1; }

double measure_seconds(const lanes::Convolution& convolution, int images, int shares) {
  const lanes::ConvSpec& s = convolution.spec();
  const Tensor x = Tensor::full({s.h * s.w * s.c * images}, 0.5f);
  Tensor y = Tensor::empty({s.p() * s.q() * s.channels_out() * images}), scratch = Tensor::empty({convolution.scratch_size() + 1});
  double best = 1e300;
  for (int run = 0; run <= kRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    convolution.run(x.data(), nullptr, y.mutable_data(), scratch.mutable_data());
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (run > 0) best = std::min(best, elapsed.count());
  }
  return best * convolution.largest_share(shares);
}

double LaneStopwatch::seconds(const Spec& s) {
  const Tensor w = Tensor::full({s.k * s.r * s.s * (s.c / s.groups)}, 0.01f), tail = Tensor::full({std::max<std::int64_t>(1, s.tail * s.k)}, 0.01f);
  double best = 1e300;
  for (const lanes::ConvForm form : lanes::kConvForms) {
    if (!has_form(s, form, lanes_)) continue;
    const lanes::Convolution convolution(s, lanes_, form, {w.data(), nullptr}, {tail.data(), nullptr}, {}, {});
    best = std::min(best, measure_seconds(convolution, lanes_of(lanes_), threads_of_block(lanes_)));
  }
  return best;
}

std::int64_t LaneStopwatch::unit(bool filters) const {
  return filters && lanes_ == lanes::Lanes::kChannels ? lanes::lanes_of(lanes::Lanes::kImages) : 1;
}

std::string LaneStopwatch::machine() const {
  return "revision " + std::to_string(kRevision) + ", " + processor_name() + ", " + std::to_string(lanes::lanes_of(lanes::Lanes::kImages)) + " lanes, " + name_of(lanes_) + ", " + std::to_string(threads_of_block(lanes_)) + " threads, built by " + __VERSION__;
}

}  // namespace hinge
