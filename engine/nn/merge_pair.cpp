#include "engine/nn/merge_pair.h"

#include <vector>

#include "engine/core/error.h"

namespace hinge {

Tensor merge_pair(const Tensor& u, const Tensor& v) {
  require(u.shape().rank() == 4 && v.shape().rank() == 4 && v.dim(3) == u.dim(0) && v.dim(1) == 1 && v.dim(2) == 1,
          "merge: spatial is {}, pointwise {}; expected [rank, R, S, C] and [K, 1, 1, rank]", u.shape(), v.shape());
  const std::int64_t rank = u.dim(0), k = v.dim(0), window = u.dim(1) * u.dim(2) * u.dim(3);
  Tensor w = Tensor::empty({k, u.dim(1), u.dim(2), u.dim(3)});
  float* to = w.mutable_data();
#pragma omp parallel for
  for (std::int64_t filter = 0; filter < k; ++filter) {
    std::vector<double> sum(static_cast<std::size_t>(window), 0.0);
    for (std::int64_t m = 0; m < rank; ++m) {
      const double factor = v.data()[filter * rank + m];
      const float* row = u.data() + m * window;
      for (std::int64_t j = 0; j < window; ++j) sum[static_cast<std::size_t>(j)] += factor * static_cast<double>(row[j]);
    }
    for (std::int64_t j = 0; j < window; ++j) to[filter * window + j] = static_cast<float>(sum[static_cast<std::size_t>(j)]);
  }
  return w;
}

Tensor merge_pair_bias(const Tensor& b, const Tensor& v, const Tensor& d) {
  if (!b.defined()) return d;
  const std::int64_t k = v.dim(0), rank = v.size() / k;
  require(b.size() == rank && (!d.defined() || d.size() == k), "merge: biases of {} and {}, expected {} and {}", b.size(), d.defined() ? d.size() : 0, rank, k);
  Tensor bias = Tensor::empty({k});
  for (std::int64_t filter = 0; filter < k; ++filter) {
    double sum = d.defined() ? static_cast<double>(d.data()[filter]) : 0.0;
    for (std::int64_t m = 0; m < rank; ++m) sum += static_cast<double>(v.data()[filter * rank + m]) * static_cast<double>(b.data()[m]);
    bias.mutable_data()[filter] = static_cast<float>(sum);
  }
  return bias;
}

}  // namespace hinge
