#include "engine/core/accelerator.h"

#include <charconv>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/tensor_sums.h"

namespace hinge {
namespace {

std::unique_ptr<Accelerator>& registered() {
  // Never destroyed: tensors with static lifetime give their memory back to it.
  static auto* accelerator = new std::unique_ptr<Accelerator>;
  return *accelerator;
}

constexpr const char* kNotBuilt = "this program was built without CUDA (build it with the preset 'cuda')";

}  // namespace

std::unique_ptr<TensorSums> Accelerator::sums(ProcessGroup&, int, std::string&) { return nullptr; }

Accelerator* accelerator() { return registered().get(); }

Accelerator& require_accelerator(Device device) {
  Accelerator* found = accelerator();
  require(found != nullptr, "{} can't be used: {}", device.to_string(), kNotBuilt);
  const int count = found->count();
  require(count > 0, "{} can't be used: {}", device.to_string(), found->why_none());
  require(device.index >= 0 && device.index < count, "{} is not there: this machine has {} (cuda:0 to cuda:{})", device.to_string(),
          count == 1 ? std::string("one GPU") : fmt::format("{} GPUs", count), count - 1);
  return *found;
}

bool register_accelerator(std::unique_ptr<Accelerator> implementation) {
  registered() = std::move(implementation);
  return true;
}

void Stream::synchronize() const {
  if (!device_.is_cpu()) require_accelerator(device_).synchronize(device_.index);
}

bool Stream::is_idle() const { return device_.is_cpu() || require_accelerator(device_).is_idle(device_.index); }

std::unique_ptr<Accelerator> exchange_accelerator(std::unique_ptr<Accelerator> implementation) {
  return std::exchange(registered(), std::move(implementation));
}

bool Stream::is_capturing() const { return !device_.is_cpu() && require_accelerator(device_).is_capturing(device_.index); }

Stream stream_of(Device device) {
  return device.is_cpu() ? Stream() : Stream(device, require_accelerator(device).stream(device.index));
}

DeviceChoice choose_device(const std::string& text) {
  if (text == "cpu") return {};
  if (text == "auto") {
    const Accelerator* found = accelerator();
    if (found == nullptr) return {};
    if (found->count() > 0) return {Device{Device::Kind::kCuda, 0}, ""};
    return {Device{}, fmt::format("no GPU can be used ({}): running on the CPU", found->why_none())};
  }
  constexpr std::string_view kPrefix = "cuda:";
  if (text.starts_with(kPrefix)) {
    int index = 0;
    const char *begin = text.data() + kPrefix.size(), *end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(begin, end, index);
    if (error == std::errc() && stop == end && index >= 0 && begin != end) {
      const Device device{Device::Kind::kCuda, index};
      require_accelerator(device);
      return {device, ""};
    }
  }
  fail_usage("unknown device '{}', expected auto, cpu or cuda:N, e.g. cuda:0", text);
}

Capture::~Capture() {
  if (ended_) return;
  try {
    accelerator()->end_capture(index_);
  } catch (const std::exception&) {  // the exception on its way says what went wrong first
  }
}

std::unique_ptr<CapturedGraph> Capture::end() {
  ended_ = true;
  return accelerator()->end_capture(index_);
}

}  // namespace hinge
