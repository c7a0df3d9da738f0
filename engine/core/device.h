// A machine that executes kernels, and an in-order queue of work on it.
#pragma once

#include <cstdint>
#include <string>

namespace hinge {

struct Device {
  enum class Kind : std::uint8_t { kCpu,
                                   kCuda };
  Kind kind = Kind::kCpu;
  int index = 0;

  bool operator==(const Device&) const = default;
  std::string to_string() const {
    return kind == Kind::kCpu ? "cpu" : "cuda:" + std::to_string(index);
  }
};

inline constexpr int kDeviceKinds = 2;

// Work is done in the order in which it is given. On the CPU it is done when the call returns.
class Stream {
 public:
  Stream() = default;
  explicit Stream(Device device) : device_(device) {}
  Device device() const { return device_; }

 private:
  Device device_;
};

}  // namespace hinge
