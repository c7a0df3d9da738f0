#include "engine/train/gradient_sum.h"

#include <algorithm>

namespace hinge {

void GradientSum::ready(std::size_t i, const Tensor& tensor) {
  if (!buckets_.empty() && !buckets_.back().started && buckets_.back().used + tensor.size() > buckets_.back().values.size()) start();
  if (buckets_.empty() || buckets_.back().started) buckets_.push_back({.values = Tensor::empty({std::max(size_, tensor.size())}, DType::kFloat32, stream_.device()), .parts = {}});
  Bucket& bucket = buckets_.back();
  bucket.values.copy_range_from(tensor, 0, bucket.used, tensor.size());
  bucket.parts.push_back({i, bucket.used, tensor.size()});
  bucket.used += tensor.size();
  if (bucket.used == bucket.values.size()) start();
  sums_.progress();
}

void GradientSum::start() {
  Bucket& bucket = buckets_.back();
  bucket.started = true;
  if (bucket.used > 0) sums_.start(bucket.values, bucket.used, precision_, stream_);
}

void GradientSum::finish(std::vector<Tensor>& tensors) {
  std::vector<bool> seen(tensors.size(), false);
  for (const Bucket& bucket : buckets_) {
    for (const Part& part : bucket.parts) seen[part.tensor] = true;
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!seen[i]) ready(i, tensors[i]);
  }
  if (!buckets_.empty() && !buckets_.back().started) start();
  sums_.join(stream_);
  for (const Bucket& bucket : buckets_) {
    for (const Part& part : bucket.parts) {
      Tensor total = Tensor::empty(tensors[part.tensor].shape(), DType::kFloat32, stream_.device());
      total.copy_range_from(bucket.values, part.begin, 0, part.size);
      tensors[part.tensor] = std::move(total);
    }
  }
  buckets_.clear();
}

}  // namespace hinge
