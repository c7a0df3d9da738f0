// Operands and comparison, as the files of cases share them.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "engine/core/accelerator.h"
#include "engine/ops/cast.h"
#include "kernels/bfloat16.h"
#include "kernels/philox.h"
#include "tools/bench/kernel_case.h"

namespace hinge::bench {

// Uniform in [low, high), a pure function of seed and position; half of them negative by default, and none zero.
inline Tensor random_floats(std::int64_t count, std::uint64_t seed, float low = -1.0f, float high = 1.0f) {
  Tensor result = Tensor::empty({count});
  for (std::int64_t i = 0; i < count; i += 4) {
    const PhiloxWords words = random_words(seed, RandomUse::kTest, 3, static_cast<std::uint64_t>(i));
    for (std::int64_t j = i; j < std::min(i + 4, count); ++j) {
      result.mutable_data()[j] = low + (high - low) * (uniform(words.word[j - i]) + 0.5f / 16777216.0f);
    }
  }
  return result;
}

// Numbers that T can hold exactly, as floats.
template <class T>
Tensor random_numbers(std::int64_t count, std::uint64_t seed, float low = -1.0f, float high = 1.0f) {
  Tensor result = random_floats(count, seed, low, high);
  for (std::int64_t i = 0; i < count; ++i) result.mutable_data()[i] = static_cast<float>(static_cast<T>(result.data()[i]));
  return result;
}
// The same numbers on a device, in T's type; and back.
template <class T>
Tensor to_device(const Tensor& floats, Device device) { return cast(floats.copy_on(device), DTypeOf<T>::value, stream_of(device)); }
inline Tensor to_host(const Tensor& tensor) { return cast(tensor, DType::kFloat32, stream_of(tensor.device())).to(Device{}); }

template <class T>
constexpr bool kIsFloat = std::is_same_v<T, float>;
template <class T>
constexpr const char* kTypeText = kIsFloat<T> ? "" : " in bfloat16";
// The share of itself that a result is rounded by when it is stored, beyond a float's.
template <class T>
constexpr double kStored = kIsFloat<T> ? 0.0 : 0x1p-8;

// What every result is before a run: an element that is not written is found.
template <class T = float>
Tensor unwritten(std::int64_t count, Device device) { return to_device<T>(Tensor::full({count}, std::numeric_limits<float>::quiet_NaN()), device); }

// Collects the largest error of results in units of what it may be: `size` is the sum of the magnitudes that went into
// an element, `terms` how many there were. `stored`: the share of a result that storing it may round away; `read`: of the operands
// of a product, where it reads them rounded.
class Errors {
 public:
  explicit Errors(double stored = 0.0, double read = 0.0) : stored_(stored), read_(read) {}
  void add(const char* what, std::int64_t index, float got, double want, double size, double terms) {
    const double allowed = (1.2e-7 * (4.0 + 2.0 * std::sqrt(terms)) + read_) * size + stored_ * std::fabs(want) + 1e-30;
    const double error = std::fabs(static_cast<double>(got) - want);
    if (error <= allowed) return;  // NaN goes on
    if (text_.empty()) text_ = fmt::format("{}[{}] is {}, expected {} within {:.1e}", what, index, got, want, allowed);
  }
  const std::string& text() const { return text_; }

 private:
  double stored_, read_;
  std::string text_;
};

// Operands as tensors on the device, the call and the check as functions.
class TensorRun final : public CaseRun {
 public:
  using Call = std::function<void(const Stream&)>;
  using Check = std::function<std::string()>;
  TensorRun(Call call, Check check) : call_(std::move(call)), check_(std::move(check)) {}
  void run(const Stream& stream) override { call_(stream); }
  std::string check() override { return check_(); }

 private:
  Call call_;
  Check check_;
};

inline double wide(float value) { return static_cast<double>(value); }

// Every step of `count` positions that is looked at where looking at all would take minutes: about `most` of them.
inline std::int64_t stride_for(std::int64_t count, std::int64_t most) { return std::max<std::int64_t>(1, count / most) | 1; }

// Each adds its cases.
void add_elementwise_cases(std::vector<KernelCase>& cases, CaseSize size);
void add_batch_norm_cases(std::vector<KernelCase>& cases, CaseSize size);
void add_product_cases(std::vector<KernelCase>& cases, CaseSize size);
void add_group_cases(std::vector<KernelCase>& cases, CaseSize size);

}  // namespace hinge::bench
