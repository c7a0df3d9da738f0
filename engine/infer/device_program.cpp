#include "engine/infer/device_program.h"

#include <utility>

#include "engine/autograd/node.h"
#include "engine/core/accelerator.h"

namespace hinge {

// The pool first: it goes last.
struct DeviceProgram::Captured {
  explicit Captured(Device device) : pool(device) {}
  MemoryPool pool;
  Tensor images;
  std::vector<Tensor> outputs;
  std::unique_ptr<CapturedGraph> graph;
};

DeviceProgram::DeviceProgram(Network& network, bool graph) : network_(network), graph_(graph) {
  require(!network.device().is_cpu(), "inference: the network lies on the CPU, expected a GPU");
}

DeviceProgram::~DeviceProgram() = default;

std::vector<Tensor> DeviceProgram::forward(const Tensor& images) {
  const NoGradients guard;
  return network_.forward_all(images, {}, stream_of(network_.device()));
}

void DeviceProgram::run(const Tensor& images, std::vector<Tensor>& outputs) {
  const Device device = network_.device();
  const bool repeated = std::exchange(seen_, images.shape()) == images.shape();
  if (graph_ && repeated && images.size() > 0 && (!captured_ || !(captured_->images.shape() == images.shape()))) {
    // The call before has chosen how convolutions run. What is captured for another shape goes first, with its memory; a last,
    // smaller batch now and then is not worth that.
    captured_.reset();
    auto captured = std::make_unique<Captured>(device);
    const MemoryPool::Scope scope(captured->pool);
    captured->images = Tensor::empty(images.shape(), images.dtype(), device);
    Capture recording(device);
    captured->outputs = forward(captured->images);
    captured->graph = recording.end();
    captured_ = std::move(captured);
  }
  if (!captured_ || !(captured_->images.shape() == images.shape())) {
    outputs = forward(images.to(device));
    return;
  }
  captured_->images.copy_from(images);
  captured_->graph->replay();
  ++replays_;
  outputs.resize(captured_->outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Tensor& from = captured_->outputs[i];
    if (!outputs[i].defined() || !(outputs[i].shape() == from.shape()) || !(outputs[i].device() == device)) outputs[i] = Tensor::empty(from.shape(), from.dtype(), device);
    outputs[i].copy_from(from);
  }
}

}  // namespace hinge
