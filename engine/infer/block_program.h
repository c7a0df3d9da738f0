// Carrying out a fused graph on one block of images: packed weights, and every value at a fixed place in one arena.
//
// A program changes nothing when it runs; memory is the caller's, one arena per block in flight.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/infer/fused_graph.h"
#include "engine/nn/network.h"
#include "kernels/lanes.h"

namespace hinge {

// How a convolution runs. A low-rank pair with nothing clamped between its halves may be multiplied out: where a register holds
// more filters than the rank saves, the one convolution is faster.
struct LaneForm {
  kernels::lanes::ConvForm form = kernels::lanes::ConvForm::kDirect;
  bool merged = false;
};
// By the lanes, ConvSpec::to_string(), and for a pair whether something is clamped between.
using LaneForms = std::map<std::string, LaneForm>;

// The convolution that `node`, a convolution or a linear layer that reads pictures of shape `in`, is to a block.
kernels::lanes::ConvSpec conv_spec_of(const GraphNode& node, const FeatureShape& in);

class BlockProgram {
 public:
  // `network` as fold_batch_norm leaves it, on the CPU. Convolutions whose form isn't in `forms` are measured and put there.
  BlockProgram(const Network& network, kernels::lanes::Lanes lanes, LaneForms& forms);

  int images_per_block() const { return lanes_of(lanes_); }
  std::int64_t arena_floats() const { return arena_; }
  std::int64_t scratch_floats() const { return scratch_; }
  // Is a block better shared by several threads than done by one while others have none? With images in the lanes only a lone one.
  bool shares_well() const { return lanes_ == kernels::lanes::Lanes::kChannels; }
  std::size_t steps() const { return steps_.size(); }
  // Of the layer that a step does, for people: "layer1.0.conv1 + layer1.0.conv1.pointwise + add + relu".
  std::string name(std::size_t step) const { return steps_[step].name; }
  const std::string& form(std::size_t step) const { return steps_[step].form; }

  // images : [count, H, W, C] of one block. With `threads` > 1, every thread calls each of these with its own `thread`,
  // and none begins a step before all have ended the one before.
  void load(std::int64_t count, const float* images, float* arena) const;
  void run_step(std::size_t step, float* arena, float* scratch, int thread, int threads) const;
  // Output `index` as [count, features].
  std::int64_t output_features(std::size_t index) const { return outputs_[index].floats / images_per_block(); }
  void store(std::size_t index, std::int64_t count, const float* arena, float* out) const;

 private:
  struct Place {  // of a value in the arena
    std::int64_t offset = 0, floats = 0;
    FeatureShape shape;
  };
  struct Step {
    std::string name, form;
    GraphNode node;
    std::vector<Place> inputs;
    Place output;
    std::optional<Place> residual;
    kernels::lanes::Clamp clamp;
    std::unique_ptr<kernels::lanes::Convolution> convolution;
    std::vector<float> scale, shift;  // of a BatchNorm
  };
  std::vector<Place> place_values(const Graph& graph, const FusedGraph& fused);
  void prepare_convolution(Step& step, const Network& network, const FusedStep& fused, LaneForms& forms);

  kernels::lanes::Lanes lanes_;
  std::int64_t arena_ = 0, scratch_ = 0;
  Place input_;
  std::vector<Place> outputs_;
  std::vector<Step> steps_;
};

}  // namespace hinge
