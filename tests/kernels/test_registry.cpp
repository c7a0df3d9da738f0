#include "kernels/registry.h"

#include "engine/core/device.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::kernels;
using namespace hinge::testing;

namespace {

struct Nowhere {
  static constexpr const char* kName = "nowhere";
  using Signature = void(int);
};
struct Twice {
  static constexpr const char* kName = "twice";
  using Signature = void(int, int*);
};
void twice(int x, int* y) { *y = 2 * x; }

}  // namespace

TEST_CASE("a kernel is found by its type and runs on the backend it was registered for") {
  register_kernel<Twice>(Backend::kCpu, &twice);
  int y = 0;
  dispatch<Twice>(Stream(), 21, &y);
  CHECK(y == 42);
}

TEST_CASE("a backend without the kernel is an error that says which have it") {
  register_kernel<Twice>(Backend::kCpu, &twice);
  const Stream cuda(Device{Device::Kind::kCuda, 0});
  int y = 0;
  CHECK_THROWS_WITH(dispatch<Twice>(cuda, 1, &y), contains("twice") &&
                                                      contains("no kernel for cuda") &&
                                                      contains("registered: cpu"));
  CHECK_THROWS_WITH(dispatch<Nowhere>(Stream(), 1),
                    contains("nowhere") && contains("registered: none"));
}
