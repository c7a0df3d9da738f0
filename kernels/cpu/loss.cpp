#include "kernels/loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/registry.h"

namespace hinge::kernels::cpu {
namespace {

// log sum_k exp(x[k] / temperature), and that much of the rows' arithmetic is in double: K is small.
double log_sum_exp(const float* x, std::int64_t k, double temperature) {
  double largest = static_cast<double>(x[0]);
  for (std::int64_t j = 1; j < k; ++j) largest = std::max(largest, static_cast<double>(x[j]));
  double sum = 0.0;
  for (std::int64_t j = 0; j < k; ++j) {
    sum += std::exp((static_cast<double>(x[j]) - largest) / temperature);
  }
  return largest / temperature + std::log(sum);
}

void softmax_loss(const LossShape& s, const float* logits, const std::int32_t* labels,
                  const float* teacher, float* losses, float* dx) {
  const double weight = teacher == nullptr ? 0.0 : static_cast<double>(s.distillation_weight);
  const double temperature = static_cast<double>(s.temperature);
  const double smoothing = static_cast<double>(s.label_smoothing);
  const double inverse_rows = 1.0 / static_cast<double>(s.rows);
  parallel_ranges(s.rows, s.k * 64, [&](Range range) {
    for (std::int64_t row = range.begin; row < range.end; ++row) {
      const float* x = logits + row * s.k;
      const float* v = teacher == nullptr ? nullptr : teacher + row * s.k;
      const double normaliser = log_sum_exp(x, s.k, 1.0);
      const double soft_normaliser = v == nullptr ? 0.0 : log_sum_exp(x, s.k, temperature);
      const double teacher_normaliser = v == nullptr ? 0.0 : log_sum_exp(v, s.k, temperature);
      double cross_entropy = 0.0, divergence = 0.0;
      for (std::int64_t j = 0; j < s.k; ++j) {
        const double log_probability = static_cast<double>(x[j]) - normaliser;
        const double target =
            (j == labels[row] ? 1.0 - smoothing : 0.0) + smoothing / static_cast<double>(s.k);
        if (target != 0.0) cross_entropy -= target * log_probability;
        double gradient = (1.0 - weight) * (std::exp(log_probability) - target);
        if (v != nullptr) {
          const double log_student = static_cast<double>(x[j]) / temperature - soft_normaliser;
          const double log_teacher = static_cast<double>(v[j]) / temperature - teacher_normaliser;
          const double teacher_probability = std::exp(log_teacher);
          divergence += teacher_probability * (log_teacher - log_student);
          gradient += weight * temperature * (std::exp(log_student) - teacher_probability);
        }
        if (dx != nullptr) dx[row * s.k + j] = static_cast<float>(gradient * inverse_rows);
      }
      losses[row] = static_cast<float>((1.0 - weight) * cross_entropy +
                                       weight * temperature * temperature * divergence);
    }
  });
}

void top_k(std::int64_t rows, std::int64_t k, const float* logits, const std::int32_t* labels,
           std::int64_t* correct) {
  correct[0] = correct[1] = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* x = logits + row * k;
    const float own = x[labels[row]];
    int ahead = 0;
    bool valid = true;
    for (std::int64_t j = 0; j < k; ++j) {
      valid = valid && !std::isnan(x[j]);
      ahead += x[j] > own || (x[j] == own && j < labels[row]);
    }
    correct[0] += valid && ahead < 1;
    correct[1] += valid && ahead < 5;
  }
}

void mean_value(std::int64_t size, const float* values, float* mean) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < size; ++i) sum += static_cast<double>(values[i]);
  *mean = static_cast<float>(sum / static_cast<double>(size));
}

const bool registered = register_kernel<SoftmaxLoss>(Backend::kCpu, &softmax_loss) &&
                        register_kernel<MeanValue>(Backend::kCpu, &mean_value) &&
                        register_kernel<TopK>(Backend::kCpu, &top_k);

}  // namespace
}  // namespace hinge::kernels::cpu
