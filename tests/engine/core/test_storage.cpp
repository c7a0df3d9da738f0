#include "engine/core/storage.h"

#include <cmath>

#include "engine/core/tensor.h"
#include "kernels/simt/poison.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;

TEST_CASE("memory in use rises with a tensor and falls with its last copy") {
  const std::size_t before = memory_use({}).used;
  {
    Tensor copy;
    {
      const Tensor tensor = Tensor::empty({1000});
      copy = tensor;
    }
    CHECK(memory_use({}).used >= before + 4000);
    CHECK(memory_use({}).used < before + 4000 + 64);
  }
  CHECK(memory_use({}).used == before);
}

TEST_CASE("a block that was let go of is used again for the next tensor of its size") {
  const float* first = Tensor::empty({12345}).data();
  CHECK(Tensor::empty({12345}).data() == first);
  release_cached_memory({});
  CHECK(memory_use({}).cached == 0);
}

TEST_CASE("under AddressSanitizer a tensor's owner alone may touch it, not beyond its end, and nobody once it is gone") {
  for (const std::int64_t size : {1, 15, 16, 17, 1000, 1 << 19}) {
    INFO(size);
    const std::byte* begin = nullptr;
    const std::byte* end = nullptr;
    {
      const Tensor tensor = Tensor::empty({size});
      begin = reinterpret_cast<const std::byte*>(tensor.data()), end = begin + tensor.bytes();
      CHECK_FALSE(simt::is_poisoned(begin));
      CHECK_FALSE(simt::is_poisoned(end - 1));
      CHECK(simt::is_poisoned(end) == simt::kAddressSanitizer);
      // What nobody has written is NaN there.
      if (simt::kAddressSanitizer) CHECK(std::isnan(tensor.data()[size - 1]));
    }
    CHECK(simt::is_poisoned(begin) == simt::kAddressSanitizer);
    CHECK(simt::is_poisoned(end - 1) == simt::kAddressSanitizer);
  }
}

TEST_CASE("the peak is the most that was in use since it was reset") {
  reset_peak_memory({});
  const std::size_t before = memory_use({}).used;
  CHECK(memory_use({}).peak == before);
  { const Tensor a = Tensor::empty({1024}), b = Tensor::empty({1024}); }
  const Tensor c = Tensor::empty({1024});
  CHECK(memory_use({}).peak == before + 8192);
  reset_peak_memory({});
  CHECK(memory_use({}).peak == before + 4096);
}

TEST_CASE("a device that this build cannot use is an error that names it") {
  const Device cuda{Device::Kind::kCuda, 1};
  CHECK_THROWS_AS(Tensor::empty({1}, DType::kFloat32, cuda), Error);
  CHECK_THROWS_WITH(Tensor::empty({1}, DType::kFloat32, cuda), contains("cuda:1"));
  CHECK_THROWS_WITH(memory_use(cuda), contains("cuda:1"));
}
