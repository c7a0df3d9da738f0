#include "engine/ops/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/backward.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"
#include "tests/support/thread_group.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

struct Fixture {
  Tensor x, gamma, beta, residual, running_mean, running_var;
  BatchNormOptions options;

  Fixture(const Shape& shape, bool training, bool relu, bool with_residual, float offset = 0.0f) {
    const std::int64_t c = shape[shape.rank() - 1];
    x = make_leaf(random_tensor(shape, 1, offset - 1.0f, offset + 1.0f));
    gamma = make_leaf(random_tensor({c}, 2, -1.5f, 1.5f));
    beta = make_leaf(random_tensor({c}, 3));
    if (with_residual) residual = make_leaf(random_tensor(shape, 4));
    running_mean = random_tensor({c}, 5, offset - 0.3f, offset + 0.3f);
    running_var = random_tensor({c}, 6, 0.2f, 2.0f);
    options = {.training = training, .relu = relu};
  }
  Tensor forward() {
    return batch_norm(x, {gamma, beta, running_mean, running_var}, residual, options, {});
  }
  std::vector<Array> inputs() const {
    return {Array(x), Array(gamma), Array(beta), Array(residual)};
  }
  std::vector<Tensor> leaves() const {
    return residual.defined() ? std::vector{x, gamma, beta, residual} : std::vector{x, gamma, beta};
  }
  // Before the ReLU, from {x, gamma, beta, residual}; constants of inference as they are now.
  Function function() const {
    const reference::Statistics constants{Array(running_mean), Array(running_var)};
    return [constants, training = options.training,
            epsilon = static_cast<double>(options.epsilon)](const std::vector<Array>& v) {
      return reference::batch_norm(v[0], v[1], v[2], v[3],
                                   training ? reference::statistics(v[0]) : constants, epsilon);
    };
  }
};

// How the rounding of the statistics reaches an output, per channel, in units of kEpsilon.
struct Errors {
  Array mean, relative_deviation;  // of the mean, and of the standard deviation
};
Errors errors_of(const Array& x, const reference::Statistics& s, bool training, double epsilon) {
  const std::int64_t c_count = s.mean.size(), rows = x.size() / c_count;
  Errors errors{Array({c_count}), Array({c_count})};
  for (std::int64_t c = 0; c < c_count; ++c) {
    errors.mean[c] = std::fabs(s.mean[c]);
    errors.relative_deviation[c] = 2.0;
    if (!training) continue;
    // The kernel sums x - x[0] and its square.
    for (std::int64_t row = 0; row < rows; ++row) {
      const double centred = x[row * c_count + c] - x[c];
      errors.mean[c] += std::fabs(centred) / static_cast<double>(rows);
      errors.relative_deviation[c] +=
          centred * centred / static_cast<double>(rows) / (s.var[c] + epsilon);
    }
  }
  return errors;
}

}  // namespace

TEST_CASE("batch norm gives the reference's values, with and without residual and ReLU") {
  for (const std::int64_t rows : kSizesThatHurt) {
    for (const std::int64_t c : kSizesThatHurt) {
      for (int variant = 0; variant < 8; ++variant) {
        const bool training = variant & 1, relu = variant & 2, with_residual = variant & 4;
        if (training && rows < 2) continue;
        INFO(rows << " rows, " << c << " channels, training " << training << ", relu " << relu
                  << ", residual " << with_residual);
        Fixture f({rows, 1, 1, c}, training, relu, with_residual, 2.0f);
        const std::vector<Array> v = f.inputs();
        const auto statistics =
            training ? reference::statistics(v[0])
                     : reference::Statistics{Array(f.running_mean), Array(f.running_var)};
        Array want = f.function()(v);
        const Errors errors = errors_of(v[0], statistics, training, 1e-5);
        Array magnitude(want.shape);
        for (std::int64_t i = 0; i < want.size(); ++i) {
          const std::int64_t j = i % c;
          const double scale = std::fabs(v[1][j]) / std::sqrt(statistics.var[j] + 1e-5);
          magnitude[i] =
              scale * (std::fabs(v[0][i]) + std::fabs(statistics.mean[j]) + errors.mean[j]) +
              scale * std::fabs(v[0][i] - statistics.mean[j]) * errors.relative_deviation[j] +
              std::fabs(v[2][j]) + (with_residual ? std::fabs(v[3][i]) : 0.0);
        }
        if (relu) want = reference::relu(want);
        CHECK(mismatch(f.forward(), want, magnitude, 4.0) == "");
      }
    }
  }
}

TEST_CASE("training moves the running statistics by momentum, with the unbiased variance") {
  for (const std::int64_t rows : {2, 33, 128, 1000, 5000}) {
    INFO(rows << " rows");
    Fixture f({rows, 17}, true, false, false, 3.0f);
    f.options.momentum = 0.3f;
    const Array mean_before(f.running_mean), var_before(f.running_var);
    const auto batch = reference::statistics(Array(f.x));
    const Errors errors = errors_of(Array(f.x), batch, true, 1e-5);
    f.forward();
    Array mean({17}), var({17}), mean_magnitude({17}), var_magnitude({17});
    const double momentum = static_cast<double>(f.options.momentum);
    for (std::int64_t c = 0; c < 17; ++c) {
      const double unbiased =
          batch.var[c] * static_cast<double>(rows) / static_cast<double>(rows - 1);
      mean[c] = reference::running(mean_before[c], batch.mean[c], momentum);
      var[c] = reference::running(var_before[c], unbiased, momentum);
      mean_magnitude[c] = std::fabs(mean_before[c]) + errors.mean[c];
      var_magnitude[c] = var_before[c] + 2.0 * (unbiased + 1e-5) * errors.relative_deviation[c];
    }
    CHECK(mismatch(f.running_mean, mean, mean_magnitude) == "");
    CHECK(mismatch(f.running_var, var, var_magnitude) == "");
  }
}

TEST_CASE("inference leaves the running statistics alone") {
  Fixture f({8, 3}, false, true, true);
  const Tensor mean = f.running_mean.clone(), var = f.running_var.clone();
  f.forward();
  CHECK(same_bytes(f.running_mean, mean));
  CHECK(same_bytes(f.running_var, var));
}

TEST_CASE("batch norm's gradients are those of the reference, in every variant") {
  for (const Shape& shape : {Shape{2, 1, 1, 1}, Shape{2, 1, 1, 5}, Shape{2, 3, 3, 16}, Shape{3, 17},
                             Shape{33, 31}, Shape{129, 33}, Shape{4, 4, 10, 3}}) {
    for (int variant = 0; variant < 8; ++variant) {
      const bool training = variant & 1, relu = variant & 2, with_residual = variant & 4;
      INFO(shape.to_string() << ", training " << training << ", relu " << relu << ", residual "
                             << with_residual);
      Fixture f(shape, training, relu, with_residual, 1.0f);
      const std::vector<Array> v = f.inputs();
      const Function linear_part = f.function();
      const Array before_relu = linear_part(v);
      // Outputs near the ReLU's kink count nothing, so that differences stay on one side of it.
      Tensor weights = random_tensor(shape, 7);
      std::vector<bool> open(static_cast<std::size_t>(before_relu.size()), true);
      if (relu) {
        for (std::int64_t i = 0; i < weights.size(); ++i) {
          if (std::fabs(before_relu[i]) < 0.02) weights.mutable_data()[i] = 0.0f;
        }
      }
      const Function function = [&](const std::vector<Array>& inputs) {
        const Array y = linear_part(inputs);
        return relu ? reference::relu(y) : y;
      };
      const auto got = gradients(weighted_sum(f.forward(), weights), f.leaves(), {});

      const std::int64_t c_count = shape[shape.rank() - 1], rows = f.x.size() / c_count;
      const auto statistics =
          training ? reference::statistics(v[0])
                   : reference::Statistics{Array(f.running_mean), Array(f.running_var)};
      const Errors errors = errors_of(v[0], statistics, training, 1e-5);
      for (std::size_t which = 0; which < got.size(); ++which) {
        INFO("input " << which);
        CHECK(got[which].shape() == f.leaves()[which].shape());
        std::vector<Probe> probes = probe(function, v, Array(weights), which);
        for (Probe& p : probes) {
          const std::int64_t c = p.element % c_count;
          const double rstd = 1.0 / std::sqrt(statistics.var[c] + 1e-5);
          double sum = 0.0, sum_normal = 0.0;  // of |dy| and |dy xhat|
          for (std::int64_t row = 0; row < rows; ++row) {
            const double dy = std::fabs(static_cast<double>(weights.data()[row * c_count + c]));
            sum += dy;
            sum_normal +=
                dy * (std::fabs(v[0][row * c_count + c] - statistics.mean[c]) + errors.mean[c]) *
                rstd;
          }
          const double normal =
              std::fabs(v[0][p.element % v[0].size()] - statistics.mean[c]) * rstd;
          const double relative = 1.0 + errors.relative_deviation[c] + errors.mean[c] * rstd;
          const double n = static_cast<double>(rows);
          if (which == 0) {
            p.magnitude = std::fabs(v[1][c]) * rstd * relative *
                          (1.0 + (training ? sum / n + (normal + 1.0) * sum_normal / n : 0.0));
          } else if (which == 1) {
            p.magnitude = sum_normal * relative;
          } else {
            p.magnitude = which == 2 ? sum : 0.0;  // the residual's gradient is dy or 0, exactly
          }
          p.magnitude += 1e-2;  // the differences' own error
        }
        CHECK(mismatch(got[which], probes) == "");
      }
    }
  }
}

TEST_CASE("the residual's gradient without a ReLU is dy itself, and with one dy where y > 0") {
  for (const bool relu : {false, true}) {
    Fixture f({4, 3, 3, 5}, true, relu, true);
    const Tensor y = f.forward();
    const Tensor dy = random_tensor(y.shape(), 7);
    const Tensor dz = gradients(weighted_sum(y, dy), std::vector{f.residual}, {})[0];
    for (std::int64_t i = 0; i < dy.size(); ++i) {
      const float want = !relu || y.data()[i] > 0.0f ? dy.data()[i] : 0.0f;
      if (dz.data()[i] != want)
        FAIL("element " << i << ": " << dz.data()[i] << ", expected " << want);
    }
  }
}

TEST_CASE("the gradient through the statistics sums to zero over every channel") {
  Fixture f({64, 8}, true, false, false);
  const Tensor y = f.forward();
  const Tensor dx =
      gradients(weighted_sum(y, random_tensor(y.shape(), 7)), std::vector{f.x}, {})[0];
  for (std::int64_t c = 0; c < 8; ++c) {
    double sum = 0.0, magnitude = 0.0;
    for (std::int64_t row = 0; row < 64; ++row) {
      sum += static_cast<double>(dx.data()[row * 8 + c]);
      magnitude += std::fabs(static_cast<double>(dx.data()[row * 8 + c]));
    }
    CHECK(std::fabs(sum) <= 16.0 * kEpsilon * magnitude);
  }
}

TEST_CASE("a mean a thousand times the deviation costs only the digits it must") {
  Fixture f({1000, 4}, true, false, false, 1000.0f);
  const auto statistics = reference::statistics(Array(f.x));
  f.running_mean = Tensor::zeros({4}), f.running_var = Tensor::zeros({4});
  f.options.momentum = 1.0f;
  f.forward();
  for (std::int64_t c = 0; c < 4; ++c) {
    const double got = static_cast<double>(f.running_var.data()[c]),
                 want = statistics.var[c] * 1000.0 / 999.0;
    CHECK(std::fabs(got - want) <= 32.0 * kEpsilon * want);
  }
}

TEST_CASE("the backward pass of inference sees the statistics of its own forward pass") {
  Fixture f({8, 3}, false, false, false);
  const Tensor y = f.forward();
  const Tensor weights = random_tensor(y.shape(), 7);
  const auto want = gradients(weighted_sum(y, weights), f.leaves(), {});
  const Tensor again = f.forward();
  std::fill_n(f.running_mean.mutable_data(), 3, 100.0f);
  std::fill_n(f.running_var.mutable_data(), 3, 100.0f);
  const auto got = gradients(weighted_sum(again, weights), f.leaves(), {});
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bytes(got[i], want[i]));
}

TEST_CASE("a constant channel becomes beta, with a variance of exactly zero") {
  Fixture f({32, 2}, true, false, false);
  f.x = Tensor::full({32, 2}, 0.1f);
  f.options.momentum = 1.0f;
  const Tensor y = f.forward();
  CHECK(f.running_var.data()[0] == 0.0f);
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const double rstd_scale = std::fabs(static_cast<double>(f.gamma.data()[i % 2])) * 316.3 * 0.1;
    CHECK(std::fabs(static_cast<double>(y.data()[i] - f.beta.data()[i % 2])) <=
          4.0 * kEpsilon * (rstd_scale + 1.0));
  }
}

TEST_CASE("NaN in a channel stays in that channel and is not hidden by the ReLU") {
  Fixture f({8, 3}, true, true, false);
  f.x.mutable_data()[3 + 1] = NAN;
  const Tensor y = f.forward();
  for (std::int64_t i = 0; i < y.size(); ++i) CHECK(std::isnan(y.data()[i]) == (i % 3 == 1));
  CHECK(std::isnan(f.running_var.data()[1]));
  CHECK_FALSE(std::isnan(f.running_var.data()[0]));
}

TEST_CASE("an empty batch passes through inference and is refused in training") {
  Fixture f({0, 4, 4, 3}, false, true, false);
  CHECK(f.forward().shape() == Shape{0, 4, 4, 3});
  f.options.training = true;
  CHECK_THROWS_WITH(f.forward(), contains("at least 2") && contains("[0, 4, 4, 3]"));
}

TEST_CASE("batch norm refuses what does not fit, with both sides in the message") {
  Fixture f({8, 3}, true, false, false);
  f.gamma = Tensor::zeros({4});
  CHECK_THROWS_AS(f.forward(), Error);
  CHECK_THROWS_WITH(f.forward(), contains("[8, 3]") && contains("gamma is [4]"));
  Fixture g({8, 3}, true, false, false);
  g.residual = Tensor::zeros({8, 4});
  CHECK_THROWS_WITH(g.forward(), contains("residual is [8, 4]") && contains("x is [8, 3]"));
  Fixture one({1, 3}, true, false, false);
  CHECK_THROWS_WITH(one.forward(), contains("at least 2") && contains("[1, 3]"));
  Fixture flat({8, 3}, true, false, false);
  flat.x = Tensor::zeros({3});
  CHECK_THROWS_WITH(flat.forward(), contains("[3]") && contains("[..., C]"));
}

TEST_CASE("over ranks it is what it is over all rows: outputs, gradients and running statistics") {
  // An offset of 1000: squares that cancel would leave no digit of the variance.
  for (const float offset : {0.0f, 1000.0f}) {
    for (const auto& [relu, residual] : {std::pair{false, false}, {true, true}}) {
      const Shape shape{13, 3, 33};
      const std::int64_t row = 3 * 33;
      Fixture whole(shape, true, relu, residual, offset);
      const Tensor weights = random_tensor(shape, 9), y = whole.forward();
      const std::vector<Tensor> want = gradients(weighted_sum(y, weights), whole.leaves(), {});
      for (const int ranks : {1, 2, 5}) {
        std::vector<Tensor> ys(static_cast<std::size_t>(ranks)), means(ys.size()), vars(ys.size());
        std::vector<std::vector<Tensor>> got(ys.size());
        on_ranks(ranks, [&](ProcessGroup& group) {
          const auto rank = static_cast<std::size_t>(group.rank());
          const Slice mine = slice_of(13, &group);
          const auto part = [&](const Tensor& all) {
            Tensor result = Tensor::empty({mine.count(), 3, 33});
            std::copy_n(all.data() + mine.begin * row, result.size(), result.mutable_data());
            return result;
          };
          Fixture here(shape, true, relu, residual, offset);
          here.options.over = &group;
          here.x = make_leaf(part(here.x));
          if (residual) here.residual = make_leaf(part(here.residual));
          ys[rank] = here.forward();
          got[rank] = gradients(weighted_sum(ys[rank], part(weights)), here.leaves(), {});
          means[rank] = here.running_mean, vars[rank] = here.running_var;
        });
        // x - mean is only as exact as x, and x as the fused sum x scale + shift keeps it.
        const double bound = 2e-5 * (1.0 + static_cast<double>(offset));
        double difference = 0.0;
        const auto compare = [&](float a, float b) { difference = std::isfinite(a) ? std::max(difference, static_cast<double>(std::abs(a - b))) : 1e9; };
        for (int rank = 0; rank < ranks; ++rank) {
          const auto u = static_cast<std::size_t>(rank);
          const Slice mine = slice_of(13, rank, ranks);
          for (std::int64_t i = 0; i < mine.count() * row; ++i) {
            compare(ys[u].data()[i], y.data()[mine.begin * row + i]);
            compare(got[u][0].data()[i], want[0].data()[mine.begin * row + i]);
            if (residual) compare(got[u][3].data()[i], want[3].data()[mine.begin * row + i]);
          }
          for (std::int64_t c = 0; c < 33; ++c) {
            compare(means[u].data()[c], whole.running_mean.data()[c]);
            compare(vars[u].data()[c], whole.running_var.data()[c]);
          }
        }
        for (std::int64_t c = 0; c < 33; ++c) {  // those of gamma and beta are parts of the sum
          float dgamma = 0.0f, dbeta = 0.0f;
          for (const auto& of_rank : got) dgamma += of_rank[1].data()[c], dbeta += of_rank[2].data()[c];
          compare(dgamma, want[1].data()[c]);
          compare(dbeta, want[2].data()[c]);
        }
        INFO(ranks << " ranks, offset " << offset);
        CHECK(difference <= bound);
      }
    }
  }
}
