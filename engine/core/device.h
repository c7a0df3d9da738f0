// A machine that executes kernels, and an in-order queue of work on it.
#pragma once

#include <cstdint>
#include <string>

struct CUstream_st;  // cudaStream_t is a pointer to it

namespace hinge {

struct Device {
  enum class Kind : std::uint8_t { kCpu,
                                   kCuda };
  Kind kind = Kind::kCpu;
  int index = 0;

  bool operator==(const Device&) const = default;
  bool is_cpu() const { return kind == Kind::kCpu; }
  std::string to_string() const {
    return is_cpu() ? "cpu" : "cuda:" + std::to_string(index);
  }
};

inline constexpr int kDeviceKinds = 2;

// Work is done in the order in which it is given. On the CPU it is done when the call returns; on a GPU when
// synchronize() does, and everything of this program is queued on one stream of it (accelerator.h: stream_of).
class Stream {
 public:
  Stream() = default;
  explicit Stream(Device device, CUstream_st* native = nullptr) : device_(device), native_(native) {}
  Device device() const { return device_; }
  CUstream_st* native() const { return native_; }
  // Waits until all that was queued is done.
  void synchronize() const;
  // Is it done already?
  bool is_idle() const;
  // Is what is queued recorded instead of run?
  bool is_capturing() const;

 private:
  Device device_;
  CUstream_st* native_ = nullptr;
};

}  // namespace hinge
