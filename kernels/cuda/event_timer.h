// Time that work takes on the GPU, by events on its stream.
#pragma once

#include "kernels/cuda/status.h"

namespace hinge::kernels::cuda {

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t native() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// The best of three runs of `work`, in milliseconds, behind one that isn't timed.
template <class Work>
double milliseconds_of(cudaStream_t stream, const Work& work) {
  const Event begin, end;
  double best = 1e300;
  for (int run = 0; run < 4; ++run) {
    check(cudaEventRecord(begin.native(), stream), "event");
    work();
    check(cudaEventRecord(end.native(), stream), "event");
    check(cudaEventSynchronize(end.native()), "event");
    float elapsed = 0.0f;
    check(cudaEventElapsedTime(&elapsed, begin.native(), end.native()), "event");
    if (run > 0 && static_cast<double>(elapsed) < best) best = static_cast<double>(elapsed);
  }
  return best;
}

}  // namespace hinge::kernels::cuda
