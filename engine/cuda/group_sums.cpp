#include "engine/cuda/group_sums.h"

#include <algorithm>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "kernels/bfloat16.h"
#include "kernels/registry.h"
#include "kernels/simt/group_sums.h"

namespace hinge {
namespace {

class SumsOnDevice final : public TensorSums {
 public:
  explicit SumsOnDevice(std::unique_ptr<simt::GroupSums> sums) : sums_(std::move(sums)) {}
  void start(const Tensor& values, std::int64_t count, SumPrecision precision, const Stream& stream) override {
    Tensor shared = values;
    if (precision == SumPrecision::kFloat32) return sums_->start(shared.mutable_data(), static_cast<std::size_t>(count), stream.native());
    Rounded rounded{shared, Tensor::empty({count}, DType::kBfloat16, stream.device())};
    kernels::dispatch<kernels::ToBfloat16>(stream, count, values.data(), rounded.data());
    sums_->start(reinterpret_cast<std::uint16_t*>(rounded.data()), static_cast<std::size_t>(count), stream.native());
    rounded_.push_back(std::move(rounded));
  }
  void join(const Stream& stream) override {
    sums_->join(stream.native());
    for (Rounded& rounded : rounded_) kernels::dispatch<kernels::FromBfloat16>(stream, rounded.halves.size(), rounded.data(), rounded.values.mutable_data());
    rounded_.clear();
  }
  std::string refusal() const override { return ""; }

 private:
  struct Rounded {
    Tensor values, halves;
    Bfloat16* data() { return halves.mutable_data<Bfloat16>(); }
  };
  std::unique_ptr<simt::GroupSums> sums_;
  std::vector<Rounded> rounded_;  // underway
};

}  // namespace

std::unique_ptr<TensorSums> sums_on_device(ProcessGroup& group, int index, std::string& why) {
  const std::string missing = simt::why_no_group_sums();
  std::vector<double> without(static_cast<std::size_t>(group.size()), 0.0);
  without[static_cast<std::size_t>(group.rank())] = missing.empty() ? 0.0 : 1.0;
  group.sum(without);
  if (const auto first = std::ranges::find_if(without, [](double lacks) { return lacks > 0.0; }); first != without.end()) {
    const auto rank = static_cast<int>(first - without.begin());
    why = fmt::format("rank {}: {}", rank, group.broadcast(missing, rank));
    return nullptr;
  }
  simt::GroupId id{};
  if (group.rank() == 0) id = simt::make_group_id();
  const std::string bytes = group.broadcast(std::string(id.begin(), id.end()), 0);
  require(bytes.size() == id.size(), "ranks name their group in {} bytes, expected {}", bytes.size(), id.size());
  std::ranges::copy(bytes, id.begin());
  return std::make_unique<SumsOnDevice>(simt::join_group(id, group.rank(), group.size(), index));
}

}  // namespace hinge
