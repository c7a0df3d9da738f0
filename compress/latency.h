// The clock that a target in time is steered by: layers as measured on this machine's processor or GPU
// (engine/infer/layer_times.h), scaled so that the dense network takes what it was measured to take as a whole.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "compress/budget.h"
#include "engine/infer/inference_plan.h"
#include "engine/infer/layer_times.h"

namespace hinge::compress {

struct LatencyOptions {
  std::int64_t batch = 1;                               // images in the call whose time counts
  InferenceMethod method = InferenceMethod::kMeasured;  // on the CPU; kMeasured: the faster of kImages and kChannels
};

class MeasuredClock final : public LayerClock {
 public:
  // Times are those of the device that `dense` lies on; its weights don't matter. `known` as table() gave it, or null; what it says
  // of this network, batch and device (of the CPU: and number of threads) is taken instead of measuring again. Throws Error on another
  // form of JSON.
  MeasuredClock(const Network& dense, const LatencyOptions& options, const nlohmann::json& known);

  double convolution(const Spec& full, const Spec& kept) const override;
  double elements(double count) const override { return seconds_per_element_ * count; }
  void prepare(const Spec& full, bool c_varies, bool k_varies, bool tail_varies) const override;

  InferenceMethod method() const { return method_; }  // kLibrary on a GPU
  std::int64_t batch() const { return batch_; }
  std::size_t measured() const { return times_->measured(); }  // points of layers that weren't known
  // All that was measured: {"calls": {"KEY": {...}}, "images": {layer times}, "channels": {layer times}, "GPU, ...": {layer times}}, with
  // what was known.
  nlohmann::json table() const;

 private:
  void choose_method(const Network& dense, InferenceMethod wanted);
  void calibrate(const Network& dense);

  std::int64_t batch_;
  InferenceMethod method_ = InferenceMethod::kChannels;
  nlohmann::json known_;
  std::string key_;                          // of the network, the batch, and the threads or the GPU
  std::string section_;                      // of the table: where these layers' times are
  mutable std::optional<LayerTimes> times_;  // measures what it doesn't know yet
  double scale_ = 1.0;                       // seconds of a call per second of a block
  double seconds_per_element_ = 0.0;
};

}  // namespace hinge::compress
