// Inference on a GPU: the steps of a fused graph, captured as a graph of the device's at the second call in a row with a shape
// and replayed from then on.
//
// A convolution or linear layer is one call of a library and one pass behind it for bias, residual and ReLU; a low-rank pair is
// one kernel, two such convolutions, or one with both multiplied out, whichever is fastest (pair_form.h). A small network's kernels run faster than the host
// queues them: ResNet-56 takes some 115 launches a call, a replay is one.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "engine/infer/fused_graph.h"
#include "engine/infer/pair_form.h"
#include "engine/infer/step_time.h"
#include "engine/nn/network.h"

namespace hinge {

struct DeviceOptions {
  bool graph = true;  // capture and replay
  PairForm pairs = PairForm::kMeasured;
};

class DeviceProgram {
 public:
  // `network` lies on a GPU, has its BatchNorms folded if they should be, and is kept by reference; it doesn't move.
  DeviceProgram(Network& network, const DeviceOptions& options);
  ~DeviceProgram();
  DeviceProgram(const DeviceProgram&) = delete;
  DeviceProgram& operator=(const DeviceProgram&) = delete;

  // images : [N, H, W, C], on the CPU or on the network's device -> outputs as Network::forward_all gives them in inference, up to
  // rounding. Into the tensors that `outputs` has, where they are of the right shapes, else into new ones; they are the caller's:
  // later calls leave them alone unless they are passed again. Queues the work and returns.
  void run(const Tensor& images, std::vector<Tensor>& outputs);

  // How the pairs among the steps run with so many images, in order. Measures what nobody has measured yet, with operands of its
  // own: a new number of images costs a second set of a pair's tensors and some calls, once.
  const std::vector<PairForm>& pair_forms(std::int64_t images);

  // What each step takes with these images, as captured or queued as the program is: the median of `rounds`. Each is timed by itself
  // on the values that it gets, several times in a row; what passes from one to the next may come from a cache here and from memory
  // in a call, so that the sum is near a call's time and not equal to it.
  std::vector<StepTime> profile(const Tensor& images, int rounds);

  std::int64_t replays() const { return replays_; }

 private:
  struct Step {
    FusedStep fused;
    Tensor weight, bias, tail_weight, tail_bias;  // share memory with the network's
    Tensor merged_weight, merged_bias;            // of a pair that runs multiplied out, made when that is first chosen
    kernels::Clamp inner, outer;
    std::vector<int> frees;  // values nobody reads afterwards
  };
  struct Captured;

  void plan_steps();
  void check_images(const Tensor& images) const;
  std::vector<Tensor> forward(const Tensor& images, const std::vector<PairForm>& pairs);
  void merge(Step& step);
  Tensor run_step(const Step& step, PairForm form, const std::vector<Tensor>& values, std::int64_t images);
  Tensor run_layer(const Step& step, PairForm form, const Tensor& x, const Tensor& residual, std::int64_t images);
  Shape shape_of(int node, std::int64_t images) const;
  kernels::ConvShape conv_shape(const Step& step, std::int64_t images) const;
  kernels::LowRankPairShape pair_shape(const Step& step, std::int64_t images) const;

  Network& network_;
  DeviceOptions options_;
  std::vector<FeatureShape> shapes_;  // [node]
  std::vector<bool> flat_;            // [node]: its value is [N, C], not a picture
  std::vector<Step> steps_;
  std::vector<int> outputs_;                             // whose values they are
  std::map<std::int64_t, std::vector<PairForm>> pairs_;  // by the number of images
  Shape seen_;                                           // of the last images
  std::unique_ptr<Captured> captured_;
  std::int64_t replays_ = 0;
};

}  // namespace hinge
