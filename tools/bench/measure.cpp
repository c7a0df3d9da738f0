#include "tools/bench/measure.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "engine/core/accelerator.h"
#include "engine/core/processor.h"
#include "kernels/gemm.h"
#include "kernels/registry.h"

namespace hinge::bench {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Runs `work` until `seconds` have gone and at least five times; the seconds of each run, sorted.
template <class Work>
std::vector<double> samples_of(double seconds, const Work& work) {
  std::vector<double> samples;
  const auto start = Clock::now();
  while (samples.size() < 5 || (seconds_since(start) < seconds && samples.size() < 10000)) {
    const auto begin = Clock::now();
    work();
    samples.push_back(seconds_since(begin));
  }
  std::ranges::sort(samples);
  return samples;
}

// Each thread copies its own share, with loads and stores of a vector's width: what a kernel here can do.
double copy_rate_of_cpu() {
  constexpr std::int64_t kFloats = 64 << 20;
  const Tensor from = Tensor::full({kFloats}, 1.0f);
  Tensor to = Tensor::full({kFloats}, 0.0f);
  const float* a = from.data();
  float* b = to.mutable_data();
  const std::vector<double> samples = samples_of(0.5, [=] {
#pragma omp parallel for simd schedule(static)
    for (std::int64_t i = 0; i < kFloats; ++i) b[i] = a[i];
  });
  return 8.0 * static_cast<double>(kFloats) / samples[0];
}

// As wide as the processor's vectors, so that one multiply-add is one instruction.
#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
using Vector = float __attribute__((vector_size(kVectorBytes)));

// 12 independent chains hide the latency of a fused multiply-add (4 or 5 cycles, two a cycle) and fit into 16 registers.
double fma_rate_of_cpu() {
  constexpr int kChains = 12;
  constexpr std::int64_t kTurns = 4'000'000;
  volatile float sink = 0.0f;
  const std::vector<double> samples = samples_of(0.5, [&] {
#pragma omp parallel
    {
      Vector value[kChains];
      for (int c = 0; c < kChains; ++c) value[c] = Vector{} + static_cast<float>(c);
      const Vector factor = Vector{} + 0.999f, summand = Vector{} + 0.001f;
      for (std::int64_t turn = 0; turn < kTurns; ++turn) {
#pragma GCC unroll 12
        for (int c = 0; c < kChains; ++c) value[c] = value[c] * factor + summand;
      }
      Vector sum{};
      for (int c = 0; c < kChains; ++c) sum += value[c];
      sink = sum[0];
    }
  });
  const double lanes = kVectorBytes / sizeof(float);
  return 2.0 * kChains * lanes * static_cast<double>(kTurns) * omp_get_max_threads() / samples[0];
}

double copy_rate_of_gpu(const Stream& stream) {
  constexpr std::int64_t kFloats = 128 << 20;
  const Tensor from = Tensor::full({kFloats}, 1.0f, stream.device());
  Tensor to = Tensor::full({kFloats}, 0.0f, stream.device());
  const std::vector<double> samples = samples_of(0.5, [&] {
    for (int i = 0; i < 10; ++i) to.copy_from(from);
    stream.synchronize();
  });
  return 10.0 * 8.0 * static_cast<double>(kFloats) / samples[0];
}

double product_rate_of_gpu(const Stream& stream) {
  constexpr std::int64_t kSide = 8192;
  // Not constant: a matrix of equal numbers draws less power and runs faster than one of data.
  Tensor host = Tensor::empty({kSide * kSide});
  for (std::int64_t i = 0; i < host.size(); ++i) host.mutable_data()[i] = static_cast<float>(i * 2654435761u % 1000) / 1000.0f - 0.5f;
  const Tensor a = host.to(stream.device());
  Tensor c = Tensor::empty({kSide * kSide}, DType::kFloat32, stream.device());
  const auto product = [&] {
    kernels::dispatch<kernels::Gemm>(stream, kernels::GemmShape{.m = kSide, .n = kSide, .k = kSide}, a.data(), a.data(), c.mutable_data());
    stream.synchronize();
  };
  product();
  return 2.0 * kSide * kSide * static_cast<double>(kSide) / samples_of(0.5, product)[0];
}

double cache_to_leave(Device device) {
  constexpr double kMiB = 1024.0 * 1024.0;
  if (!device.is_cpu()) return 128.0 * kMiB;
  const long level3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
  // A virtual machine may name its host's cache, of which it has a share.
  return level3 > 0 ? std::min(2.0 * static_cast<double>(level3), 256.0 * kMiB) : 64.0 * kMiB;
}

// One call on each set. On a GPU as a captured graph: the time between two launches is the host's, not the kernel's.
class Round {
 public:
  Round(std::vector<std::unique_ptr<CaseRun>>& sets, const Stream& stream) : sets_(sets), stream_(stream) {
    if (stream.device().is_cpu()) return;
    accelerator()->begin_capture(stream.device().index);
    queue();
    graph_ = accelerator()->end_capture(stream.device().index);
  }
  void run() {
    if (graph_) {
      graph_->replay();
      stream_.synchronize();
    } else {
      queue();
    }
  }

 private:
  void queue() {
    for (auto& set : sets_) set->run(stream_);
  }
  std::vector<std::unique_ptr<CaseRun>>& sets_;
  Stream stream_;
  std::unique_ptr<CapturedGraph> graph_;
};

}  // namespace

Machine measure_machine(Device device) {
  if (device.is_cpu()) {
    return {fmt::format("{}, {} threads", processor_name(), omp_get_max_threads()), copy_rate_of_cpu(), fma_rate_of_cpu()};
  }
  const Stream stream = stream_of(device);
  return {accelerator()->name(device.index), copy_rate_of_gpu(stream), product_rate_of_gpu(stream)};
}

double Timing::share_of_roof(const Machine& machine) const {
  return std::max(bytes / machine.copy_bytes_per_second, flops / machine.flops_per_second) / seconds;
}
bool Timing::bound_by_memory(const Machine& machine) const {
  return bytes / machine.copy_bytes_per_second >= flops / machine.flops_per_second;
}

Timing time_case(const KernelCase& kernel, Device device, const MeasureOptions& options) {
  const Stream stream = stream_of(device);
  std::vector<std::unique_ptr<CaseRun>> sets;
  sets.push_back(kernel.make(device, 1));
  sets[0]->run(stream);  // the first call chooses convolutions
  if (const std::string wrong = sets[0]->check(); !wrong.empty()) fail("{} on {}: {}", kernel.name, device.to_string(), wrong);
  const double cache = options.cache_bytes > 0.0 ? options.cache_bytes : cache_to_leave(device);
  const int wanted = static_cast<int>(std::clamp(cache / kernel.bytes + 1.0, 2.0, 64.0));
  while (static_cast<int>(sets.size()) < wanted) sets.push_back(kernel.make(device, sets.size() + 1));

  Round round(sets, stream);
  round.run();
  std::vector<double> samples = samples_of(options.seconds, [&] { round.run(); });
  for (double& seconds : samples) seconds /= static_cast<double>(sets.size());
  const std::size_t n = samples.size();
  return {.name = kernel.name,
          .family = kernel.family,
          .bytes = kernel.bytes,
          .flops = kernel.flops,
          .seconds = samples[n / 2],
          .spread = (samples[n * 3 / 4] - samples[n / 4]) / samples[n / 2],
          .sets = static_cast<int>(sets.size())};
}

}  // namespace hinge::bench
