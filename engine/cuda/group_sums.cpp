#include "engine/cuda/group_sums.h"

#include <algorithm>
#include <string>

#include "engine/core/error.h"
#include "kernels/simt/group_sums.h"

namespace hinge {
namespace {

class SumsOnDevice final : public TensorSums {
 public:
  explicit SumsOnDevice(std::unique_ptr<simt::GroupSums> sums) : sums_(std::move(sums)) {}
  void start(const Tensor& values, std::int64_t count, const Stream& stream) override {
    Tensor shared = values;
    sums_->start(shared.mutable_data(), static_cast<std::size_t>(count), stream.native());
  }
  void join(const Stream& stream) override { sums_->join(stream.native()); }
  bool capturable() const override { return true; }

 private:
  std::unique_ptr<simt::GroupSums> sums_;
};

}  // namespace

std::unique_ptr<TensorSums> sums_on_device(ProcessGroup& group, int index) {
  double without = simt::why_no_group_sums().empty() ? 0.0 : 1.0;
  group.sum({&without, 1});
  if (without > 0.0) return nullptr;
  simt::GroupId id{};
  if (group.rank() == 0) id = simt::make_group_id();
  const std::string bytes = group.broadcast(std::string(id.begin(), id.end()), 0);
  require(bytes.size() == id.size(), "ranks name their group in {} bytes, expected {}", bytes.size(), id.size());
  std::ranges::copy(bytes, id.begin());
  return std::make_unique<SumsOnDevice>(simt::join_group(id, group.rank(), group.size(), index));
}

}  // namespace hinge
