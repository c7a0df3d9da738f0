#include "engine/infer/device_timer.h"

#include <utility>

namespace hinge {

DeviceTimer::DeviceTimer(Device device, bool as_graph, std::function<void()> work, int runs)
    : device_(device), work_(std::move(work)), runs_(as_graph ? runs : 1), pool_(device) {
  work_();
  if (!as_graph) return;
  const MemoryPool::Scope scope(pool_);
  Capture recording(device);
  for (int run = 0; run < runs_; ++run) work_();
  graph_ = recording.end();
}

double DeviceTimer::seconds() {
  const double milliseconds = graph_ == nullptr ? accelerator()->milliseconds(work_, device_.index)
                                                : accelerator()->milliseconds([&] { graph_->replay(); }, device_.index);
  stream_of(device_).synchronize();
  return 1e-3 * milliseconds / runs_;
}

}  // namespace hinge
