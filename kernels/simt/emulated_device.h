// The emulated GPU's memory and graphs: what tests set, and what stands in for library calls.
//
// Memory from simt::reserve can be touched by kernels, copies and host_work only: for everything else it is as if it lay
// on another machine, and host code that reads it is stopped by the processor, as it would be with a GPU's pointer.
// While a stream is captured, launches, copies and host work are recorded; a launch on another stream and a copy from or
// to the host are faults, as they are errors of CUDA.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "kernels/simt/native_stream.h"

namespace simt::emulator {

// What the device has; 64 MiB at first. Not less than is reserved.
void set_device_memory(std::size_t bytes);

// While one lives, this process may touch the device's memory.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

// Work on the host in a kernel's place, queued on the stream: what a library would do on a GPU.
void host_work(const char* name, NativeStream stream, std::function<void()> work);

// What simt::milliseconds reads, in milliseconds; null, as at first: time stands still, and everything takes 0.
void set_clock(std::function<double()> now);

// What the GPUs of other ranks add to a sum's `count` values, floats and bfloat16; null, as at first, where there are no others
// (group_sums.h).
struct Others {
  std::function<void(float* values, std::size_t count)> add = {};
  std::function<void(std::uint16_t* values, std::size_t count)> add_bfloat16 = {};
};
void set_others(Others others);

bool is_capturing();
// For launches: `run` is recorded while capturing.
void record(const char* name, NativeStream stream, std::function<void()> run);

}  // namespace simt::emulator
