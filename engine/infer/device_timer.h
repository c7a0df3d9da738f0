// How long a piece of work takes on a GPU, run the way in which it will run: captured and replayed, or queued call by call.
#pragma once

#include <functional>
#include <memory>

#include "engine/core/accelerator.h"
#include "engine/core/storage.h"

namespace hinge {

class DeviceTimer {
 public:
  // Runs `work` once, so that libraries choose their algorithms, and then `runs` times in a captured graph if it is to be one: a
  // replay's own cost is then a small part of what is measured. What work allocates it must let go of.
  DeviceTimer(Device device, bool as_graph, std::function<void()> work, int runs = 8);

  // Of one run, the fastest of a few; each call measures again. 0 on a device that has no clock (the emulator). Waits for the device.
  double seconds();

 private:
  Device device_;
  std::function<void()> work_;
  int runs_;
  MemoryPool pool_;  // of the captured graph, which goes first
  std::unique_ptr<CapturedGraph> graph_;
};

}  // namespace hinge
