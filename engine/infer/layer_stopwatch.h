// How long one convolution takes on one kind of hardware: what a table of times (layer_times.h) is filled with.
#pragma once

#include <string>

#include "engine/core/device.h"
#include "kernels/lanes.h"

namespace hinge {

class LayerStopwatch {
 public:
  using Spec = kernels::lanes::ConvSpec;
  virtual ~LayerStopwatch() = default;
  // Of the fastest form, on a GPU with bias and ReLU: a convolution, a linear layer (one pixel) or a pair (tail > 0). Above 0.
  virtual double seconds(const Spec& spec) = 0;
  // So many channels cost what fewer do, up to the unit before: 16 filters in a register's lanes; 1 where each has its own cost.
  virtual std::int64_t unit(bool filters) const = 0;
  // All that the times depend on, besides the spec.
  virtual std::string machine() const = 0;
};

// On the CPU (kernels/lanes.h): a block of images on one thread, or one image on as many as OpenMP has.
class LaneStopwatch final : public LayerStopwatch {
 public:
  explicit LaneStopwatch(kernels::lanes::Lanes lanes) : lanes_(lanes) {}
  double seconds(const Spec& spec) override;
  std::int64_t unit(bool filters) const override;
  std::string machine() const override;

 private:
  kernels::lanes::Lanes lanes_;
};

// On a GPU, for a call of `batch` images in the process's precision, as captured inference runs it (device_program.h).
class DeviceStopwatch final : public LayerStopwatch {
 public:
  // Throws Error where the device isn't there.
  DeviceStopwatch(Device device, std::int64_t batch);
  // Throws Error where the device's clock stands still (the emulator's, unless it was given one).
  double seconds(const Spec& spec) override;
  // Four floats are one access of 16 bytes, and what tensor cores take at least: what is no whole number of them is not faster for it.
  std::int64_t unit(bool) const override { return 4; }
  std::string machine() const override;

 private:
  Device device_;
  std::int64_t batch_;
};

// Of one convolution on one block: the fastest of some runs on one thread, and of them the largest of `shares` shares.
double measure_seconds(const kernels::lanes::Convolution& convolution, int images, int shares = 1);
// Threads that share a block as a rule: all for one image, else each has blocks of its own.
int threads_of_block(kernels::lanes::Lanes lanes);

}  // namespace hinge
