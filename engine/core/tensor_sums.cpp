#include "engine/core/tensor_sums.h"

#include <vector>

#include "engine/core/accelerator.h"

namespace hinge {
namespace {

class SumsByHost final : public TensorSums {
 public:
  explicit SumsByHost(ProcessGroup& group) : group_(group) {}

  void start(const Tensor& values, std::int64_t count, const Stream&) override {
    const Tensor host = values.to(Device{});  // on the CPU these are the values themselves
    Tensor shared = host;
    auto sum = group_.start_sum({shared.mutable_data(), static_cast<std::size_t>(count)});
    started_.push_back({values, host, std::move(sum)});
  }

  void join(const Stream&) override {
    for (Started& one : started_) {
      one.sum->wait();
      if (!one.values.device().is_cpu()) one.values.copy_from(one.host);
    }
    started_.clear();
  }

  void progress() override { group_.progress(); }

 private:
  struct Started {
    Tensor values, host;
    std::unique_ptr<ProcessGroup::Pending> sum;
  };
  ProcessGroup& group_;
  std::vector<Started> started_;
};

}  // namespace

std::unique_ptr<TensorSums> sums_by_host(ProcessGroup& group) { return std::make_unique<SumsByHost>(group); }

std::unique_ptr<TensorSums> make_sums(ProcessGroup& group, Device device) {
  if (!device.is_cpu()) {
    if (auto own = require_accelerator(device).sums(group, device.index)) return own;
  }
  return sums_by_host(group);
}

}  // namespace hinge
