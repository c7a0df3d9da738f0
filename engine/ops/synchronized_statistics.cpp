#include "engine/ops/synchronized_statistics.h"

#include <cmath>
#include <vector>

#include "engine/autograd/element_type.h"
#include "kernels/batch_norm.h"
#include "kernels/registry.h"

namespace hinge {

std::int64_t sum_statistics(ProcessGroup& group, std::int64_t rows, const Tensor& near, Tensor& mean, Tensor& var) {
  const auto c = static_cast<std::size_t>(mean.size());
  // On the CPU the tensors themselves; a GPU's few numbers pass through the host's memory.
  Tensor means = mean.to(Device{}), variances = var.to(Device{});
  const Tensor nears = near.to(Device{});
  const float* about = nears.data();
  float *m = means.mutable_data(), *v = variances.mutable_data();
  const auto n = static_cast<double>(rows);
  std::vector<double> sums(2 * c + 1);
  for (std::size_t j = 0; j < c; ++j) {
    const double distance = static_cast<double>(m[j]) - static_cast<double>(about[j]);
    sums[j] = n * distance;
    sums[c + j] = n * (static_cast<double>(v[j]) + distance * distance);
  }
  sums[2 * c] = n;
  group.sum(sums);
  const double inverse = 1.0 / sums[2 * c];
  for (std::size_t j = 0; j < c; ++j) {
    const double distance = sums[j] * inverse;
    m[j] = static_cast<float>(static_cast<double>(about[j]) + distance);
    v[j] = static_cast<float>(std::fmax(0.0, sums[c + j] * inverse - distance * distance));
    if (std::isnan(sums[c + j])) v[j] = NAN;  // fmax would hide it
  }
  mean.copy_from(means), var.copy_from(variances);
  return static_cast<std::int64_t>(sums[2 * c]);
}

Tensor with_statistics_gradient(ProcessGroup& group, const NormalizedRows& of, const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta, const Stream& stream) {
  const std::int64_t c = dgamma.size();
  const auto host = [](const Tensor& tensor) { return tensor.to(Device{}); };
  const Tensor by_gamma = host(dgamma), by_beta = host(dbeta), gamma = host(of.gamma), rstds = host(of.rstd), means = host(of.mean);
  std::vector<double> sums(static_cast<std::size_t>(2 * c));
  for (std::int64_t j = 0; j < c; ++j) {
    sums[static_cast<std::size_t>(j)] = static_cast<double>(by_gamma.data()[j]);
    sums[static_cast<std::size_t>(c + j)] = static_cast<double>(by_beta.data()[j]);
  }
  group.sum(sums);
  Tensor slopes = Tensor::empty({c}), offsets = Tensor::empty({c});
  const double inverse = 1.0 / static_cast<double>(of.rows);
  for (std::int64_t j = 0; j < c; ++j) {
    const double rstd = static_cast<double>(rstds.data()[j]), scale = static_cast<double>(gamma.data()[j]) * rstd;
    const double by_x = -scale * rstd * sums[static_cast<std::size_t>(j)] * inverse;
    slopes.mutable_data()[j] = static_cast<float>(by_x);
    offsets.mutable_data()[j] = static_cast<float>(-scale * sums[static_cast<std::size_t>(c + j)] * inverse - by_x * static_cast<double>(means.data()[j]));
  }
  const Tensor slope = slopes.to(stream.device()), offset = offsets.to(stream.device());
  Tensor result = Tensor::empty(dx.shape(), dx.dtype(), stream.device());
  by_element_type(dx, [&]<class T>(T) {
    kernels::dispatch<kernels::BatchNormApplyOf<T>>(stream, kernels::BatchNormShape{.rows = dx.size() / c, .c = c, .relu = false}, of.x.data<T>(), slope.data(), offset.data(), dx.data<T>(), result.mutable_data<T>());
  });
  return result;
}

}  // namespace hinge
