#include "engine/train/gradient_sum.h"

#include <algorithm>

namespace hinge {

void GradientSum::ready(std::size_t i, const Tensor& gradient) {
  if (buckets_.empty() || buckets_.back()->sum) buckets_.push_back(std::make_unique<Bucket>());
  Bucket& bucket = *buckets_.back();
  const auto values = gradient.values<float>();
  bucket.parts.push_back({i, static_cast<std::int64_t>(bucket.values.size()), gradient.size()});
  bucket.values.insert(bucket.values.end(), values.begin(), values.end());
  if (static_cast<std::int64_t>(bucket.values.size()) >= size_) start();
  group_.progress();
}

void GradientSum::start() {
  Bucket& bucket = *buckets_.back();
  bucket.sum = group_.start_sum(bucket.values);
}

void GradientSum::finish(std::vector<Tensor>& gradients) {
  std::vector<bool> seen(gradients.size(), false);
  for (const auto& bucket : buckets_) {
    for (const Part& part : bucket->parts) seen[part.leaf] = true;
  }
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!seen[i]) ready(i, gradients[i]);
  }
  if (!buckets_.empty() && !buckets_.back()->sum) start();
  for (const auto& bucket : buckets_) {
    bucket->sum->wait();
    for (const Part& part : bucket->parts) {
      Tensor total = Tensor::empty(gradients[part.leaf].shape());
      std::copy_n(bucket->values.begin() + part.begin, part.size, total.mutable_data());
      gradients[part.leaf] = std::move(total);
    }
  }
  buckets_.clear();
}

}  // namespace hinge
