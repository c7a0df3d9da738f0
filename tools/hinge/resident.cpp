#include "tools/hinge/resident.h"

#include <fstream>
#include <string>

#include "engine/core/error.h"

namespace hinge::cli {

std::int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::int64_t kibibytes = 0;
    if (word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  }
  fail("/proc/self/status has no VmHWM line: is /proc mounted?");
}

}  // namespace hinge::cli
