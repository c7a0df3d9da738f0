// The processor's name, for people and for records of what was measured where.
#pragma once

#include <fstream>
#include <string>

namespace hinge {

inline std::string processor_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace hinge
