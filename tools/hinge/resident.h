// The most memory this process has had resident, as the kernel counts it.
#pragma once

#include <cstdint>

namespace hinge::cli {

// VmHWM of /proc/self/status, in bytes. Not getrusage's ru_maxrss: a process that was started by a larger one (a
// Python script, a test program) begins with its parent's figure there.
std::int64_t peak_resident_bytes();

}  // namespace hinge::cli
