#include "engine/ops/loss.h"

#include <cmath>

#include "engine/autograd/backward.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

std::vector<int> ints(const Tensor& labels) {
  const auto values = labels.values<std::int32_t>();
  return {values.begin(), values.end()};
}
Tensor labels_of(const std::vector<std::int32_t>& labels) {
  return Tensor::from<std::int32_t>({static_cast<std::int64_t>(labels.size())}, labels);
}

const std::vector<LossOptions> kVariants = {
    {},
    {.label_smoothing = 0.1f},
    {.distillation_weight = 0.7f, .temperature = 4.0f},
    {.label_smoothing = 0.2f, .distillation_weight = 0.4f, .temperature = 1.5f},
    {.distillation_weight = 1.0f, .temperature = 0.5f},
};
reference::Loss reference_of(const LossOptions& o) {
  return {static_cast<double>(o.label_smoothing), static_cast<double>(o.distillation_weight),
          static_cast<double>(o.temperature)};
}

}  // namespace

TEST_CASE("the loss and its gradient are the reference's, smoothed, distilled and plain") {
  for (const std::int64_t rows : {1, 2, 31, 33, 128}) {
    for (const std::int64_t classes : {1, 2, 10, 33, 129}) {
      for (const LossOptions& options : kVariants) {
        for (const bool taught : {false, true}) {
          INFO(rows << " rows, " << classes << " classes, smoothing " << options.label_smoothing
                    << ", weight " << options.distillation_weight << ", teacher " << taught);
          const Tensor logits = make_leaf(random_tensor({rows, classes}, 1, -3.0f, 3.0f));
          const Tensor teacher = taught ? random_tensor({rows, classes}, 2, -3.0f, 3.0f) : Tensor();
          const Tensor labels = random_labels(rows, classes, 3);
          const Function f = [&](const std::vector<Array>& v) {
            return Array({1}, reference::classification_loss(v[0], ints(labels), v[1],
                                                             reference_of(options)));
          };
          const Tensor loss = classification_loss(logits, labels, teacher, options, {});
          // Rows are computed in float64: what is rounded is the result, and each row's once.
          const Array want = f({Array(logits), Array(teacher)});
          CHECK(mismatch(loss, want, Array({1}, 1.0 + want[0]), 2.0) == "");
          if (rows * classes > 400) continue;
          const Tensor dx = gradients(loss, std::vector{logits}, {})[0];
          CHECK(dx.shape() == logits.shape());
          std::vector<Probe> probes = probe(f, {Array(logits), Array(teacher)}, Array({1}, 1.0), 0);
          for (Probe& p : probes) {
            p.magnitude = std::fabs(p.derivative) + 1e-2;  // one rounding; the differences' error
          }
          CHECK(mismatch(dx, probes, 2.0) == "");
        }
      }
    }
  }
}

TEST_CASE("the loss's gradient scales with what arrives from above") {
  const Tensor logits = make_leaf(random_tensor({4, 5}, 1)), labels = random_labels(4, 5, 2);
  const Tensor one =
      gradients(classification_loss(logits, labels, {}, {}, {}), std::vector{logits}, {})[0];
  const Tensor half =
      weighted_sum(classification_loss(logits, labels, {}, {}, {}), Tensor::full({1}, 0.5f));
  const Tensor got = gradients(half, std::vector{logits}, {})[0];
  for (std::int64_t i = 0; i < one.size(); ++i) CHECK(got.data()[i] == 0.5f * one.data()[i]);
}

TEST_CASE("without a teacher the distillation weight counts nothing") {
  const Tensor logits = random_tensor({4, 5}, 1), labels = random_labels(4, 5, 2);
  CHECK(classification_loss(logits, labels, {}, {.distillation_weight = 0.9f}, {}).item() ==
        classification_loss(logits, labels, {}, {}, {}).item());
}

TEST_CASE("equal logits cost log K, and a student that equals its teacher nothing") {
  const Tensor labels = random_labels(7, 10, 1);
  CHECK(std::fabs(static_cast<double>(
                      classification_loss(Tensor::full({7, 10}, 2.0f), labels, {}, {}, {}).item()) -
                  std::log(10.0)) <= 4.0 * kEpsilon * std::log(10.0));
  const Tensor logits = make_leaf(random_tensor({7, 10}, 2));
  const Tensor loss =
      classification_loss(logits, labels, logits.detached(), {.distillation_weight = 1.0f}, {});
  CHECK(std::fabs(loss.item()) <= 1e-12f);
  const Tensor gradient = gradients(loss, std::vector{logits}, {})[0];
  for (float value : gradient.values()) CHECK(value == 0.0f);
}

TEST_CASE("logits of a thousand neither overflow nor lose the loss; NaN stays NaN") {
  const Tensor logits = make_leaf(Tensor::from({2, 3}, {1000, 0, -1000, -1000, 1000, 999}));
  const Tensor loss = classification_loss(logits, labels_of({1, 2}), {}, {}, {});
  const double want = (1000.0 + std::log1p(std::exp(-1.0)) + 1.0) / 2.0;
  CHECK(std::fabs(static_cast<double>(loss.item()) - want) <= 4.0 * kEpsilon * want);
  const Tensor gradient = gradients(loss, std::vector{logits}, {})[0];
  for (float value : gradient.values())
    CHECK(std::isfinite(value));
  CHECK(std::isnan(
      classification_loss(Tensor::from({1, 2}, {NAN, 0}), labels_of({1}), {}, {}, {}).item()));
  CHECK(std::isnan(
      classification_loss(Tensor::from({1, 2}, {0, NAN}), labels_of({0}), {}, {}, {}).item()));
}

TEST_CASE("the score counts labels among the one and the five largest logits") {
  const Tensor logits = Tensor::from({3, 7}, {9, 8, 7, 6, 5, 4, 3,  //
                                              9, 8, 7, 6, 5, 4, 3,  //
                                              9, 8, 7, 6, 5, 4, 3});
  const Score result = score(logits, labels_of({0, 4, 5}), {});
  CHECK(result.images == 3);
  CHECK(result.top1 == 1);
  CHECK(result.top5 == 2);
  CHECK(result.top1_error() == Approx(100.0 * 2 / 3));
  CHECK(result.top5_error() == Approx(100.0 * 1 / 3));
  const double want = 3 * reference::classification_loss(Array(logits), {0, 4, 5}, {}, {});
  CHECK(std::fabs(result.cross_entropy_sum - want) <= 4.0 * kEpsilon * want);
}

TEST_CASE("of equal logits the one of smaller index counts as larger; a row with NaN is wrong") {
  const auto top1 = [](const std::vector<float>& logits, std::int32_t label) {
    return score(Tensor::from({1, static_cast<std::int64_t>(logits.size())}, logits),
                 labels_of({label}), {})
        .top1;
  };
  CHECK(top1({2, 2, 1}, 0) == 1);
  CHECK(top1({2, 2, 1}, 1) == 0);
  CHECK(top1({5, NAN, 1}, 0) == 0);
  CHECK(top1({NAN, 5, 1}, 0) == 0);
}

TEST_CASE("scores add up, and the score of nothing is zero") {
  const Tensor logits = random_tensor({9, 6}, 1), labels = random_labels(9, 6, 2);
  Score total = score(Tensor::empty({0, 6}), Tensor::empty({0}, DType::kInt32), {});
  CHECK(total.images == 0);
  CHECK(total.top1_error() == 0.0);
  CHECK(total.cross_entropy() == 0.0);
  for (std::int64_t row = 0; row < 9; ++row) {
    const auto values = logits.values().subspan(static_cast<std::size_t>(row * 6), 6);
    total += score(Tensor::from<float>({1, 6}, values),
                   labels_of({labels.data<std::int32_t>()[row]}), {});
  }
  const Score whole = score(logits, labels, {});
  CHECK(total.images == whole.images);
  CHECK(total.top1 == whole.top1);
  CHECK(total.top5 == whole.top5);
  CHECK(total.cross_entropy() == Approx(whole.cross_entropy()));
}

TEST_CASE("the loss refuses what does not fit, with both sides in the message") {
  const Tensor logits = Tensor::zeros({2, 3});
  const auto loss = [&](const Tensor& x, const Tensor& labels, const Tensor& teacher = {},
                        const LossOptions& o = {}) {
    return classification_loss(x, labels, teacher, o, {});
  };
  CHECK_THROWS_AS(loss(logits, labels_of({0})), Error);
  CHECK_THROWS_WITH(loss(logits, labels_of({0})), contains("[1]") && contains("I32 [2]"));
  CHECK_THROWS_WITH(loss(logits, Tensor::zeros({2})), contains("F32") && contains("I32"));
  CHECK_THROWS_WITH(loss(logits, labels_of({0, 3})), contains("label 3") && contains("3 classes"));
  CHECK_THROWS_WITH(loss(logits, labels_of({-1, 0})), contains("label -1"));
  CHECK_THROWS_WITH(loss(Tensor::zeros({2, 3, 1}), labels_of({0, 1})),
                    contains("[2, 3, 1]") && contains("[N, K]"));
  CHECK_THROWS_WITH(loss(logits, labels_of({0, 1}), Tensor::zeros({2, 4})),
                    contains("[2, 4]") && contains("[2, 3]"));
  CHECK_THROWS_WITH(loss(Tensor::zeros({0, 3}), Tensor::empty({0}, DType::kInt32)),
                    contains("empty"));
  for (const LossOptions& o :
       {LossOptions{.label_smoothing = 1.0f}, LossOptions{.label_smoothing = -0.1f},
        LossOptions{.distillation_weight = 1.1f}, LossOptions{.temperature = 0.0f},
        LossOptions{.temperature = NAN}}) {
    CHECK_THROWS_WITH(loss(logits, labels_of({0, 1}), {}, o), contains("out of range"));
  }
}
