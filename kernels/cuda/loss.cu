// Softmax cross-entropy with distillation, and top-k counting. See loss.h.
//
// One warp per row: the logits are read three times, the second and third time from the first-level cache. Arithmetic is
// in double as on the CPU: 128 rows of 1,000 classes need half a million exponentials, about 2 us on an H100 by its
// double rate (computed, not measured).
#include "kernels/loss.h"

#include "kernels/device/reduce.cuh"
#include "kernels/registry.h"

namespace hinge::kernels::cuda {
namespace {

using namespace device;

constexpr unsigned kThreads = 128;
constexpr std::int64_t kRowsPerBlock = kThreads / simt::kWarpSize;

// log sum_k exp(x[k] / temperature), in every lane.
__device__ double log_sum_exp(const float* x, std::int64_t k, double temperature, unsigned lane) {
  double largest = static_cast<double>(x[0]);
  for (std::int64_t j = lane; j < k; j += simt::kWarpSize) largest = max(largest, static_cast<double>(x[j]));
  largest = warp_reduce(largest, Larger());
  double sum = 0.0;
  for (std::int64_t j = lane; j < k; j += simt::kWarpSize) sum += exp((static_cast<double>(x[j]) - largest) / temperature);
  return largest / temperature + log(warp_sum(sum));
}

__global__ void __launch_bounds__(kThreads)
    softmax_loss_kernel(LossShape s, const float* logits, const std::int32_t* labels, const float* teacher, float* losses,
                        float* dx) {
  const unsigned lane = threadIdx.x % simt::kWarpSize;
  const std::int64_t row = blockIdx.x * kRowsPerBlock + threadIdx.x / simt::kWarpSize;
  if (row >= s.rows) return;  // a whole warp leaves
  const float* x = logits + row * s.k;
  const float* v = teacher == nullptr ? nullptr : teacher + row * s.k;
  const double weight = v == nullptr ? 0.0 : static_cast<double>(s.distillation_weight);
  const double temperature = static_cast<double>(s.temperature), smoothing = static_cast<double>(s.label_smoothing);
  const double inverse_rows = 1.0 / static_cast<double>(s.rows);
  const double normaliser = log_sum_exp(x, s.k, 1.0, lane);
  const double soft_normaliser = v == nullptr ? 0.0 : log_sum_exp(x, s.k, temperature, lane);
  const double teacher_normaliser = v == nullptr ? 0.0 : log_sum_exp(v, s.k, temperature, lane);
  double cross_entropy = 0.0, divergence = 0.0;
  for (std::int64_t j = lane; j < s.k; j += simt::kWarpSize) {
    const double log_probability = static_cast<double>(x[j]) - normaliser;
    const double target = (j == labels[row] ? 1.0 - smoothing : 0.0) + smoothing / static_cast<double>(s.k);
    if (target != 0.0) cross_entropy -= target * log_probability;
    double gradient = (1.0 - weight) * (exp(log_probability) - target);
    if (v != nullptr) {
      const double log_student = static_cast<double>(x[j]) / temperature - soft_normaliser;
      const double log_teacher = static_cast<double>(v[j]) / temperature - teacher_normaliser;
      const double teacher_probability = exp(log_teacher);
      divergence += teacher_probability * (log_teacher - log_student);
      gradient += weight * temperature * (exp(log_student) - teacher_probability);
    }
    if (dx != nullptr) dx[row * s.k + j] = static_cast<float>(gradient * inverse_rows);
  }
  const double loss =
      warp_sum((1.0 - weight) * cross_entropy + weight * temperature * temperature * divergence);
  if (lane == 0) losses[row] = static_cast<float>(loss);
}

void softmax_loss(const LossShape& s, const float* logits, const std::int32_t* labels, const float* teacher,
                  float* losses, float* dx, simt::NativeStream stream) {
  if (s.rows == 0) return;
  simt::launch("softmax cross-entropy", {simt::blocks_for(s.rows, kRowsPerBlock, 0x7fffffff), kThreads}, stream,
               &softmax_loss_kernel, s, logits, labels, teacher, losses, dx);
}

// One block for all rows: a batch's logits are half a megabyte at most, and the counts need no atomics and no zeroing.
constexpr unsigned kCountThreads = 512;
__global__ void __launch_bounds__(kCountThreads) top_k_kernel(std::int64_t rows, std::int64_t k, const float* logits,
                                                              const std::int32_t* labels, std::int64_t* correct) {
  const unsigned lane = threadIdx.x % simt::kWarpSize;
  int first = 0, among_five = 0;
  for (std::int64_t row = threadIdx.x / simt::kWarpSize; row < rows; row += kCountThreads / simt::kWarpSize) {
    const float* x = logits + row * k;
    const float own = x[labels[row]];
    int ahead = 0;
    bool valid = true;
    for (std::int64_t j = lane; j < k; j += simt::kWarpSize) {
      valid = valid && x[j] == x[j];
      ahead += x[j] > own || (x[j] == own && j < labels[row]);
    }
    ahead = __reduce_add_sync(simt::kFullWarp, ahead);
    valid = __all_sync(simt::kFullWarp, valid) != 0;
    first += lane == 0 && valid && ahead < 1;
    among_five += lane == 0 && valid && ahead < 5;
  }
  first = block_sum(first);
  among_five = block_sum(among_five);
  if (threadIdx.x == 0) correct[0] = first, correct[1] = among_five;
}

void top_k(std::int64_t rows, std::int64_t k, const float* logits, const std::int32_t* labels, std::int64_t* correct,
           simt::NativeStream stream) {
  simt::launch("top-k", {1, kCountThreads}, stream, &top_k_kernel, rows, k, logits, labels, correct);
}

// A batch has few rows: one block.
constexpr unsigned kMeanThreads = 256;
__global__ void __launch_bounds__(kMeanThreads) mean_kernel(std::int64_t size, const float* values, float* mean) {
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < size; i += kMeanThreads) sum += static_cast<double>(values[i]);
  sum = block_sum(sum);
  if (threadIdx.x == 0) *mean = static_cast<float>(sum / static_cast<double>(size));
}
void mean_value(std::int64_t size, const float* values, float* mean, simt::NativeStream stream) {
  simt::launch("mean", {1, kMeanThreads}, stream, &mean_kernel, size, values, mean);
}

const bool registered = register_kernel<SoftmaxLoss>(Backend::kCuda, &softmax_loss) &&
                        register_kernel<MeanValue>(Backend::kCuda, &mean_value) &&
                        register_kernel<TopK>(Backend::kCuda, &top_k);

}  // namespace
}  // namespace hinge::kernels::cuda
