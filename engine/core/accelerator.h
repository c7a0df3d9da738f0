// What the engine needs of a device that is not the CPU: memory, copies, one stream, and graphs of captured work.
//
// The interface is registered by whoever implements it (engine/cuda), so that a build without CUDA has no trace of it.
// Everything is queued on one stream per device, in order; what returns data to the host waits for it.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "engine/core/device.h"

namespace hinge {

class ProcessGroup;
class TensorSums;

struct DeviceMemory {
  std::size_t total = 0, free = 0;  // bytes, of the device, as the driver sees them
};

// Work that was captured once and runs again as often as wanted, on the same addresses.
class CapturedGraph {
 public:
  virtual ~CapturedGraph() = default;
  virtual void replay() = 0;
};

class Accelerator {
 public:
  virtual ~Accelerator() = default;
  // Devices that can be used; 0 where there is none, and then why_none() says what is missing.
  virtual int count() const = 0;
  virtual std::string why_none() const = 0;
  virtual std::string name(int index) const = 0;
  // Of this device and no other of any machine ("" where nobody knows).
  virtual std::string identity(int /*index*/) const { return ""; }
  virtual DeviceMemory memory(int index) const = 0;

  // nullptr where the device has not that much left.
  virtual void* allocate(std::size_t bytes, int index) = 0;
  virtual void release(void* memory, int index) noexcept = 0;
  // Told of every block that the cache hands out (`bytes` of it are asked for) or takes back; an emulated device
  // forbids access to what nobody owns.
  virtual void handed_out(void* /*block*/, std::size_t /*bytes*/, std::size_t /*rounded*/) {}
  virtual void taken_back(void* /*block*/, std::size_t /*rounded*/) noexcept {}

  virtual CUstream_st* stream(int index) = 0;
  virtual void synchronize(int index) = 0;
  // Is everything done that was queued?
  virtual bool is_idle(int index) = 0;
  // The host's memory can be changed as soon as copy_in returns.
  virtual void copy_in(void* to, const void* from, std::size_t bytes, int index) = 0;
  virtual void copy_out(void* to, const void* from, std::size_t bytes, int index) = 0;
  virtual void copy_within(void* to, const void* from, std::size_t bytes, int index) = 0;
  virtual void set_zero(void* to, std::size_t bytes, int index) = 0;
  virtual void fill(float* to, std::size_t count, float value, int index) = 0;

  // How long the device takes for what `work` queues on its stream; runs it several times.
  virtual double milliseconds(const std::function<void()>& work, int index) = 0;

  // Between the two, what is queued is recorded and not run. Copies from and to the host are errors there.
  virtual void begin_capture(int index) = 0;
  virtual std::unique_ptr<CapturedGraph> end_capture(int index) = 0;
  virtual bool is_capturing(int index) const = 0;

  // Sums over the ranks of `group`, of which each has a device of its own: null where this device has no way to them but the host,
  // and why. Every rank calls it.
  virtual std::unique_ptr<TensorSums> sums(ProcessGroup& group, int index, std::string& why);
};

// The registered one; null in a build for the CPU alone.
Accelerator* accelerator();
// The registered one with device `index`; throws Error that says why there is none.
Accelerator& require_accelerator(Device device);
// Returns true so that a namespace-scope constant can hold the call.
bool register_accelerator(std::unique_ptr<Accelerator> implementation);
// Puts another in its place (null: none) and returns the one before; no tensor may lie on a device of either.
std::unique_ptr<Accelerator> exchange_accelerator(std::unique_ptr<Accelerator> implementation);

// The stream that everything on `device` is queued on.
Stream stream_of(Device device);

// Records what is queued on a device from here on until end(), or until an exception passes by.
class Capture {
 public:
  explicit Capture(Device device) : index_(device.index) { accelerator()->begin_capture(index_); }
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  std::unique_ptr<CapturedGraph> end();

 private:
  int index_;
  bool ended_ = false;
};

// "auto", "cpu" or "cuda:N" as a device. auto is the first GPU that can be used, else the CPU; `note` then says why,
// where the program was built for GPUs. Throws UsageError on any other text, Error where a device that was asked for
// is not there.
struct DeviceChoice {
  Device device;
  std::string note;
};
DeviceChoice choose_device(const std::string& text);

}  // namespace hinge
