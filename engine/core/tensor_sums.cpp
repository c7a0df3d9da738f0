#include "engine/core/tensor_sums.h"

#include <string>
#include <utility>
#include <vector>

#include "engine/core/accelerator.h"

namespace hinge {
namespace {

Tensor part_of(const Tensor& values, std::int64_t count) {
  Tensor part = Tensor::empty({count}, values.dtype(), values.device());
  part.copy_range_from(values, 0, 0, count);
  return part;
}

class SumsByHost final : public TensorSums {
 public:
  SumsByHost(ProcessGroup& group, std::string why) : group_(group), why_(std::move(why)) {}

  void start(const Tensor& values, std::int64_t count, SumPrecision precision, const Stream&) override {
    const bool here = values.device().is_cpu();
    Tensor numbers = here ? values : part_of(values, count).to(Device{});
    auto sum = group_.start_sum({numbers.mutable_data(), static_cast<std::size_t>(count)}, precision, std::make_shared<Tensor>(numbers));
    started_.push_back({values, here ? Tensor() : numbers, std::move(sum)});
  }

  void join(const Stream&) override {
    for (Started& one : started_) {
      one.sum->wait();
      if (one.numbers.defined()) one.values.copy_range_from(one.numbers.to(one.values.device()), 0, 0, one.numbers.size());
    }
    started_.clear();
  }

  void progress() override { group_.progress(); }
  std::string refusal() const override { return "the ranks' gradients pass through the host's memory" + (why_.empty() ? "" : ": " + why_); }

 private:
  struct Started {
    Tensor values, numbers;  // on a device, and what is added up on the host; undefined where that is the values themselves
    std::unique_ptr<ProcessGroup::Pending> sum;
  };
  ProcessGroup& group_;
  std::string why_;
  std::vector<Started> started_;
};

}  // namespace

std::unique_ptr<TensorSums> sums_by_host(ProcessGroup& group, std::string why) { return std::make_unique<SumsByHost>(group, std::move(why)); }

std::unique_ptr<TensorSums> make_sums(ProcessGroup& group, Device device) {
  std::string why;
  if (!device.is_cpu()) {
    if (auto own = require_accelerator(device).sums(group, device.index, why)) return own;
  }
  return sums_by_host(group, std::move(why));
}

}  // namespace hinge
