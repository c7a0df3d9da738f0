#include "engine/core/accelerator.h"

#include "engine/core/error.h"
#include "engine/core/tensor.h"
#include "tests/support/catch.h"

using namespace hinge;
using hinge::testing::contains;

namespace {

// A machine with `count` GPUs of which nothing but the number is asked.
class CountedGpus final : public Accelerator {
 public:
  explicit CountedGpus(int count) : count_(count) {}
  int count() const override { return count_; }
  std::string why_none() const override { return "no NVIDIA driver is installed"; }
  std::string name(int) const override { return "GPU"; }
  DeviceMemory memory(int) const override { return {}; }
  void* allocate(std::size_t, int) override { return nullptr; }
  void release(void*, int) noexcept override {}
  CUstream_st* stream(int) override { return nullptr; }
  void synchronize(int) override {}
  bool is_idle(int) override { return true; }
  void copy_in(void*, const void*, std::size_t, int) override {}
  void copy_out(void*, const void*, std::size_t, int) override {}
  void copy_within(void*, const void*, std::size_t, int) override {}
  void set_zero(void*, std::size_t, int) override {}
  void fill(float*, std::size_t, float, int) override {}
  double milliseconds(const std::function<void()>&, int) override { return 0.0; }
  void begin_capture(int) override {}
  std::unique_ptr<CapturedGraph> end_capture(int) override { return nullptr; }
  bool is_capturing(int) const override { return false; }

 private:
  int count_;
};

// Takes the accelerator's place while it lives: tests run with and without CUDA built in.
class Machine {
 public:
  explicit Machine(std::unique_ptr<Accelerator> accelerator) : before_(exchange_accelerator(std::move(accelerator))) {}
  ~Machine() { exchange_accelerator(std::move(before_)); }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

 private:
  std::unique_ptr<Accelerator> before_;
};

}  // namespace

TEST_CASE("a build without CUDA takes auto for the CPU without a word and refuses a GPU") {
  const Machine machine(nullptr);
  CHECK(choose_device("auto").device == Device{});
  CHECK(choose_device("auto").note.empty());
  CHECK_THROWS_WITH(choose_device("cuda:0"), contains("cuda:0 can't be used: this program was built without CUDA"));
  CHECK_THROWS_WITH(Tensor::empty({1}, DType::kFloat32, Device{Device::Kind::kCuda, 0}), contains("built without CUDA"));
}

TEST_CASE("without a driver auto is the CPU and says why, and a GPU that was asked for is an error") {
  const Machine machine(std::make_unique<CountedGpus>(0));
  CHECK(choose_device("auto").device == Device{});
  CHECK(choose_device("auto").note == "no GPU can be used (no NVIDIA driver is installed): running on the CPU");
  CHECK(choose_device("cpu").note.empty());
  CHECK_THROWS_WITH(choose_device("cuda:0"), "cuda:0 can't be used: no NVIDIA driver is installed");
}

TEST_CASE("with GPUs auto is the first, and one that isn't there is refused with those that are") {
  const Machine machine(std::make_unique<CountedGpus>(2));
  CHECK(choose_device("auto").device == Device{Device::Kind::kCuda, 0});
  CHECK(choose_device("cuda:1").device == Device{Device::Kind::kCuda, 1});
  CHECK_THROWS_WITH(choose_device("cuda:2"), "cuda:2 is not there: this machine has 2 GPUs (cuda:0 to cuda:1)");
}

TEST_CASE("a device that is none is a usage error") {
  for (const char* text : {"", "gpu", "cuda", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "CPU"}) {
    INFO(text);
    CHECK_THROWS_AS(choose_device(text), UsageError);
  }
}
