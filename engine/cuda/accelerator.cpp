// The engine's accelerator over kernels/simt: a GPU where the program was built with CUDA, the emulated one in tests.
#include "engine/core/accelerator.h"

#include <map>

#include "engine/core/error.h"
#include "engine/cuda/group_sums.h"
#include "kernels/elementwise.h"
#include "kernels/registry.h"
#include "kernels/simt/device.h"
#include "kernels/simt/memory.h"

namespace hinge {
namespace {

class SimtGraph final : public CapturedGraph {
 public:
  SimtGraph(simt::Graph* graph, simt::NativeStream stream) : graph_(graph), stream_(stream) {}
  ~SimtGraph() override { simt::destroy(graph_); }
  SimtGraph(const SimtGraph&) = delete;
  SimtGraph& operator=(const SimtGraph&) = delete;
  void replay() override { simt::replay(graph_, stream_); }

 private:
  simt::Graph* graph_;
  simt::NativeStream stream_;
};

class SimtAccelerator : public Accelerator {
 public:
  int count() const override { return simt::device_count(); }
  std::string why_none() const override { return simt::why_no_device(); }
  std::string name(int index) const override { return simt::device_name(index); }
  std::string identity(int index) const override { return simt::device_identity(index); }
  DeviceMemory memory(int index) const override {
    const simt::MemoryState state = simt::memory_state(index);
    return {state.total, state.free};
  }

  void* allocate(std::size_t bytes, int index) override { return simt::reserve(bytes, index); }
  void release(void* memory, int index) noexcept override { simt::unreserve(memory, index); }
  void handed_out(void* block, std::size_t bytes, std::size_t rounded) override { simt::handed_out(block, bytes, rounded); }
  void taken_back(void* block, std::size_t rounded) noexcept override { simt::taken_back(block, rounded); }

  simt::NativeStream stream(int index) override {
    auto [place, is_new] = streams_.try_emplace(index, nullptr);
    if (is_new) place->second = simt::make_stream(index);
    return place->second;
  }
  void synchronize(int index) override { simt::synchronize(stream(index)); }
  bool is_idle(int index) override { return simt::is_idle(stream(index)); }
  void copy_in(void* to, const void* from, std::size_t bytes, int index) override { simt::copy_in(to, from, bytes, stream(index)); }
  void copy_out(void* to, const void* from, std::size_t bytes, int index) override { simt::copy_out(to, from, bytes, stream(index)); }
  void copy_within(void* to, const void* from, std::size_t bytes, int index) override { simt::copy_within(to, from, bytes, stream(index)); }
  void set_zero(void* to, std::size_t bytes, int index) override { simt::set_zero(to, bytes, stream(index)); }
  void fill(float* to, std::size_t count, float value, int index) override {
    kernels::dispatch<kernels::Fill>(Stream(Device{Device::Kind::kCuda, index}, stream(index)), static_cast<std::int64_t>(count), value, to);
  }

  double milliseconds(const std::function<void()>& work, int index) override { return simt::milliseconds(stream(index), work); }

  void begin_capture(int index) override {
    simt::begin_capture(stream(index));
    capturing_ = index;
  }
  std::unique_ptr<CapturedGraph> end_capture(int index) override {
    capturing_ = -1;
    return std::make_unique<SimtGraph>(simt::end_capture(stream(index)), stream(index));
  }
  bool is_capturing(int index) const override { return capturing_ == index; }

  std::unique_ptr<TensorSums> sums(ProcessGroup& group, int index, std::string& why) override { return sums_on_device(group, index, why); }

 private:
  std::map<int, simt::NativeStream> streams_;
  int capturing_ = -1;  // the device whose stream is captured
};

const bool registered = register_accelerator(std::make_unique<SimtAccelerator>());

}  // namespace
}  // namespace hinge
