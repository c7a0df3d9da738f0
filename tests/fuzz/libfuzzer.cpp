// The entry that libFuzzer calls, in a program with one target.
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    hinge::fuzz::hold(hinge::fuzz::targets().front(), {reinterpret_cast<const char*>(data), size});
  } catch (const std::exception& broken) {  // hold lets through what a target must not throw
    std::fprintf(stderr, "broken promise: %s\n", broken.what());
    std::abort();
  }
  return 0;
}
