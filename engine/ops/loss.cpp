#include "engine/ops/loss.h"

#include "kernels/elementwise.h"
#include "kernels/loss.h"
#include "kernels/registry.h"

namespace hinge {
namespace {

void check(const Tensor& logits, const Tensor& labels) {
  require(logits.shape().rank() == 2 && logits.dim(1) > 0, "loss: logits are {}, expected [N, K]",
          logits.shape());
  require(labels.dtype() == DType::kInt32 && labels.shape() == Shape{logits.dim(0)},
          "loss: labels are {} {}, expected I32 [{}]", name_of(labels.dtype()), labels.shape(),
          logits.dim(0));
  if (labels.device().is_cpu()) check_labels(labels, logits.dim(1));
}

Tensor mean_of(const Tensor& values, const Stream& stream) {
  Tensor mean = Tensor::empty({1}, DType::kFloat32, stream.device());
  kernels::dispatch<kernels::MeanValue>(stream, values.size(), values.data(), mean.mutable_data());
  return mean;
}

}  // namespace

Tensor classification_loss(const Tensor& logits, const Tensor& labels, const Tensor& teacher_logits,
                           const LossOptions& options, const Stream& stream) {
  check(logits, labels);
  require(logits.dim(0) > 0, "loss: an empty batch");
  require(!teacher_logits.defined() || teacher_logits.shape() == logits.shape(),
          "loss: the teacher's logits are {}, the student's {}", teacher_logits.shape(),
          logits.shape());
  require(options.label_smoothing >= 0.0f && options.label_smoothing < 1.0f &&
              options.distillation_weight >= 0.0f && options.distillation_weight <= 1.0f &&
              options.temperature > 0.0f,
          "loss: label smoothing {}, distillation weight {}, temperature {}: out of range",
          options.label_smoothing, options.distillation_weight, options.temperature);
  const kernels::LossShape shape{.rows = logits.dim(0),
                                 .k = logits.dim(1),
                                 .label_smoothing = options.label_smoothing,
                                 .distillation_weight = options.distillation_weight,
                                 .temperature = options.temperature};
  Tensor losses = Tensor::empty({shape.rows}, DType::kFloat32, stream.device()), gradient;
  if (wants_gradient(logits) && gradients_enabled()) gradient = Tensor::empty(logits.shape(), DType::kFloat32, stream.device());
  kernels::dispatch<kernels::SoftmaxLoss>(
      stream, shape, logits.data(), labels.data<std::int32_t>(),
      teacher_logits.defined() ? teacher_logits.data() : nullptr, losses.mutable_data(),
      gradient.defined() ? gradient.mutable_data() : nullptr);
  const Tensor loss = mean_of(losses, stream);

  return record("classification_loss", {logits}, loss,
                [gradient](const Tensor& dy, const Stream& on) -> Gradients {
                  Tensor dx = Tensor::empty(gradient.shape(), gradient.dtype(), on.device());
                  kernels::dispatch<kernels::ScaleBy>(on, gradient.size(), dy.data(), gradient.data(),
                                                      dx.mutable_data());
                  return {dx};
                });
}

Score& Score::operator+=(const Score& other) {
  images += other.images;
  top1 += other.top1;
  top5 += other.top5;
  cross_entropy_sum += other.cross_entropy_sum;
  return *this;
}

double Score::top1_error() const {
  return images == 0 ? 0.0 : 100.0 * static_cast<double>(images - top1) / static_cast<double>(images);
}
double Score::top5_error() const {
  return images == 0 ? 0.0 : 100.0 * static_cast<double>(images - top5) / static_cast<double>(images);
}
double Score::cross_entropy() const {
  return images == 0 ? 0.0 : cross_entropy_sum / static_cast<double>(images);
}

void check_labels(const Tensor& labels, std::int64_t classes) {
  for (std::int32_t label : labels.values<std::int32_t>()) {
    require(label >= 0 && label < classes, "loss: label {} with {} classes", label, classes);
  }
}

Tensor top_counts(const Tensor& logits, const Tensor& labels, const Stream& stream) {
  check(logits, labels);
  Tensor correct = Tensor::empty({2}, DType::kInt64, stream.device());
  kernels::dispatch<kernels::TopK>(stream, logits.dim(0), logits.dim(1), logits.data(), labels.data<std::int32_t>(),
                                   correct.mutable_data<std::int64_t>());
  return correct;
}

Score score(const Tensor& logits, const Tensor& labels, const Stream& stream) {
  check(logits, labels);
  const std::int64_t rows = logits.dim(0);
  if (rows == 0) return {};
  Tensor losses = Tensor::empty({rows}, DType::kFloat32, stream.device());
  kernels::dispatch<kernels::SoftmaxLoss>(
      stream, kernels::LossShape{.rows = rows, .k = logits.dim(1)}, logits.data(),
      labels.data<std::int32_t>(), static_cast<const float*>(nullptr), losses.mutable_data(),
      static_cast<float*>(nullptr));
  const Tensor correct = top_counts(logits, labels, stream).to(Device{});
  double sum = 0.0;
  const Tensor each = losses.to(Device{});  // by name: a range-for keeps no temporary alive whose values it runs over
  for (const float loss : each.values()) sum += static_cast<double>(loss);
  return {.images = rows,
          .top1 = correct.data<std::int64_t>()[0],
          .top5 = correct.data<std::int64_t>()[1],
          .cross_entropy_sum = sum / static_cast<double>(rows) * static_cast<double>(rows)};
}

}  // namespace hinge
