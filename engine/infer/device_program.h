// Inference on a GPU: a network's forward pass, captured as a graph at the second call in a row with a shape and
// replayed from then on.
//
// A small network's kernels run faster than the host queues them: ResNet-56 takes some 170 launches a call, a replay is one.
#pragma once

#include <memory>
#include <vector>

#include "engine/nn/network.h"

namespace hinge {

class DeviceProgram {
 public:
  // `network` lies on a GPU, has its BatchNorms folded if they should be, and is kept by reference.
  DeviceProgram(Network& network, bool graph);
  ~DeviceProgram();
  DeviceProgram(const DeviceProgram&) = delete;
  DeviceProgram& operator=(const DeviceProgram&) = delete;

  // images : [N, H, W, C], on the CPU or on the network's device -> outputs as Network::forward_all gives them in inference. Into
  // the tensors that `outputs` has, where they are of the right shapes, else into new ones; they are the caller's: later calls
  // leave them alone unless they are passed again. Queues the work and returns.
  void run(const Tensor& images, std::vector<Tensor>& outputs);

  std::int64_t replays() const { return replays_; }

 private:
  struct Captured;
  std::vector<Tensor> forward(const Tensor& images);

  Network& network_;
  bool graph_;
  Shape seen_;  // of the last images
  std::unique_ptr<Captured> captured_;
  std::int64_t replays_ = 0;
};

}  // namespace hinge
