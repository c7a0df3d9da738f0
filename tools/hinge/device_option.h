// --device and what goes with it: where a command computes, and how exactly.
#pragma once

#include "engine/core/accelerator.h"
#include "engine/nn/network.h"
#include "tools/hinge/flags.h"

namespace hinge::cli {

// What a command does with a device.
enum class DeviceUse { kForward,   // passes of all sizes, queued as they come
                       kRepeated,  // the same pass again and again, which a captured graph may stand for
                       kTraining };

struct DeviceOptions {
  std::string device = "auto", precision = "fp32";
  bool deterministic = false, eager = false;
  DeviceUse use = DeviceUse::kForward;  // set by declare()

  void declare(Flags& flags, DeviceUse use);
  // What a training step's activations lie in memory as.
  DType activations() const { return precision == "bf16" ? DType::kBfloat16 : DType::kFloat32; }
  // The device, with the process set to the precision asked for. Says a note where auto found no GPU. Throws UsageError
  // on unknown words, Error where a GPU that was asked for can't be used.
  Device choose() const;
  // The same without a word.
  Device choose_quietly() const;
};

// What results name as the device that was computed on: the last choice.
std::string device_description();

// Moves networks to a device and, at its end, to where they were. One may be named twice.
class OnDevice {
 public:
  OnDevice(Device device, std::vector<Network*> networks);
  ~OnDevice();
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  std::vector<std::pair<Network*, Device>> before_;
};

}  // namespace hinge::cli
