#include "compress/row_column.h"

#include <cmath>

#include "engine/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"

using namespace hinge;
using namespace hinge::compress;
using hinge::testing::contains;
using hinge::testing::random_tensor;

namespace {

const Stream kStream;
const std::vector<std::pair<std::int64_t, std::int64_t>> kShapes = {{1, 1}, {1, 33}, {33, 1}, {3, 4}, {31, 33}, {128, 20}};

kernels::GroupView rows_of(Tensor& w) { return {w.mutable_data(), w.dim(0), w.dim(1), w.dim(1), 1}; }

std::vector<double> wide(const Tensor& w) { return {w.values().begin(), w.values().end()}; }

// 1/2 ||x - m||^2 + penalties, by plain loops over a row-major matrix.
double objective(const std::vector<double>& x, const std::vector<double>& m, std::int64_t columns, const RowColumnPenalty& penalty) {
  const auto width = static_cast<std::size_t>(columns), height = x.size() / width;
  std::vector<double> rows(height, 0.0), cols(width, 0.0);
  double distance = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    rows[i / width] += x[i] * x[i], cols[i % width] += x[i] * x[i];
    distance += 0.5 * (x[i] - m[i]) * (x[i] - m[i]);
  }
  for (double& value : rows) value = std::sqrt(value);
  for (double& value : cols) value = std::sqrt(value);
  return distance + penalty.row_step * penalty.rows.penalty(std::span<const double>(rows)) +
         penalty.column_step * penalty.columns.penalty(std::span<const double>(cols));
}

double norm(const std::vector<double>& x) {
  double squares = 0.0;
  for (double value : x) squares += value * value;
  return std::sqrt(squares);
}

// By how much the objective of an exact result may exceed the least: the gap, and the rounding to float of every element,
// which moves the objective by at most its slope.
double excess(const Tensor& m, const RowColumnPenalty& penalty, double tolerance = 1e-6) {
  const double size = norm(wide(m)), rows = static_cast<double>(m.dim(0)), columns = static_cast<double>(m.dim(1));
  const double slope = size + penalty.row_step * std::sqrt(rows) + penalty.column_step * std::sqrt(columns);
  return 0.5 * tolerance * tolerance * size * size + 6e-8 * size * slope;
}

template <class Act>
void for_each_convex(Act act) {
  for (const auto& [name, entry] : regularizers()) {
    if (!entry.info.convex) continue;
    INFO(name);
    act(*make_regularizer(name));
  }
}

}  // namespace

TEST_CASE("the exact step is no worse than the sequential one, which is no worse than none") {
  for_each_convex([](const Regularizer& r) {
    for (const auto& [height, width] : kShapes) {
      for (const auto& [s, t] : std::vector<std::pair<double, double>>{{0.1, 0.1}, {0.5, 0.2}, {1.0, 2.0}, {0.0, 0.5}, {2.0, 0.0}, {3.0, 3.0}, {1e3, 1e-3}}) {
        INFO(height << " x " << width << " steps " << s << ", " << t);
        const RowColumnPenalty penalty{r, s, r, t};
        const Tensor m = random_tensor({height, width}, 9);
        Tensor exact = m.clone(), sequential = m.clone();
        const RowColumnResult result = shrink_rows_and_columns(rows_of(exact), penalty, kStream);
        shrink_rows_then_columns(rows_of(sequential), penalty, kStream);
        const double start = objective(wide(m), wide(m), width, penalty);
        const double then = objective(wide(sequential), wide(m), width, penalty);
        const double both = objective(wide(exact), wide(m), width, penalty);
        INFO("objectives " << start << ", " << then << ", " << both << ", iterations " << result.iterations);
        CHECK((both <= then + excess(m, penalty)));
        CHECK((then <= start + excess(m, penalty)));
        CHECK((result.distance <= 1e-6));
        CHECK(result.iterations >= 1);
      }
    }
  });
}

TEST_CASE("no point near or far has a lower objective than the exact step's") {
  for_each_convex([](const Regularizer& r) {
    for (const auto& [height, width] : kShapes) {
      const RowColumnPenalty penalty{r, 0.4, r, 0.6};
      const Tensor m = random_tensor({height, width}, 10);
      Tensor exact = m.clone();
      shrink_rows_and_columns(rows_of(exact), penalty, kStream);
      const std::vector<double> x = wide(exact), start = wide(m);
      const double reached = objective(x, start, width, penalty);
      for (std::uint64_t draw = 0; draw < 300; ++draw) {
        INFO(height << " x " << width << " draw " << draw);
        std::vector<double> other = x;
        const double reach = std::pow(10.0, -static_cast<double>(draw % 7));
        const auto pick = [&](std::uint64_t i) { return static_cast<double>(uniform(random_words(8, RandomUse::kTest, draw, i).word[0])); };
        const int kind = static_cast<int>(draw % 3);
        for (std::size_t i = 0; i < other.size(); ++i) {
          // Everywhere at once; whole columns towards M; whole rows by a factor.
          if (kind == 0) other[i] += reach * (2.0 * pick(i) - 1.0);
          if (kind == 1) other[i] += reach * (pick(i % static_cast<std::size_t>(width)) - 0.3) * (start[i] - x[i]);
          if (kind == 2) other[i] *= 1.0 + reach * (2.0 * pick(i / static_cast<std::size_t>(width)) - 1.0);
        }
        CHECK((reached <= objective(other, start, width, penalty) + excess(m, penalty)));
      }
    }
  });
}

TEST_CASE("a long subgradient descent ends where the exact step does") {
  for_each_convex([](const Regularizer& r) {
    for (double step : {0.1, 0.3, 0.6}) {
      const RowColumnPenalty penalty{r, step, r, 0.7 * step};
      const Tensor m = random_tensor({4, 3}, 12);
      Tensor exact = m.clone();
      shrink_rows_and_columns(rows_of(exact), penalty, kStream);
      const std::vector<double> start = wide(m);
      std::vector<double> x = start;
      double best = objective(x, start, 3, penalty);
      for (int k = 1; k <= 200000; ++k) {
        std::vector<double> rows(4, 0.0), cols(3, 0.0);
        for (std::size_t i = 0; i < 12; ++i) rows[i / 3] += x[i] * x[i], cols[i % 3] += x[i] * x[i];
        for (double& value : rows) value = std::sqrt(value);
        for (double& value : cols) value = std::sqrt(value);
        const std::vector<double> of_rows = r.gradient(rows), of_columns = r.gradient(cols);
        for (std::size_t i = 0; i < 12; ++i) {
          double slope = x[i] - start[i];
          if (rows[i / 3] > 0.0) slope += penalty.row_step * of_rows[i / 3] * x[i] / rows[i / 3];
          if (cols[i % 3] > 0.0) slope += penalty.column_step * of_columns[i % 3] * x[i] / cols[i % 3];
          x[i] -= slope / (10.0 + k);
        }
        best = std::min(best, objective(x, start, 3, penalty));
      }
      const double reached = objective(wide(exact), start, 3, penalty);
      INFO("step " << step << ": subgradient " << best << ", exact " << reached);
      CHECK((reached <= best + excess(m, penalty)));
      CHECK((best - reached <= 1e-4));  // O(1/k) for a strongly convex objective
    }
  });
}

TEST_CASE("the proven distance bounds the real one, however early the exact step stops") {
  int early = 0;
  for_each_convex([&](const Regularizer& r) {
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
      for (const auto& [height, width] : std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {2, 1}, {1, 3}, {3, 4}}) {
        for (const auto& [s, t] : std::vector<std::pair<double, double>>{{0.3, 0.3}, {0.9, 0.1}, {0.1, 0.9}, {1.5, 0.3}}) {
          const RowColumnPenalty penalty{r, s, r, t};
          const Tensor m = random_tensor({height, width}, 100 + seed);
          const double size = norm(wide(m));
          Tensor exact = m.clone();
          const RowColumnResult end = shrink_rows_and_columns(rows_of(exact), penalty, kStream, {.tolerance = 1e-7});
          for (double tolerance : {1.0, 0.3, 0.03}) {
            Tensor loose = m.clone();
            const RowColumnResult result = shrink_rows_and_columns(rows_of(loose), penalty, kStream, {.tolerance = tolerance});
            early += result.iterations < end.iterations;
            std::vector<double> apart = wide(loose);
            for (std::size_t i = 0; i < apart.size(); ++i) apart[i] -= wide(exact)[i];
            INFO(height << " x " << width << " steps " << s << ", " << t << " seed " << seed << " tolerance " << tolerance);
            CHECK((norm(apart) <= (result.distance + end.distance + 1.2e-7) * size));
          }
        }
      }
    }
  });
  CHECK(early > 100);
}

TEST_CASE("no step changes no bit, and a matrix of zeros stays one") {
  for_each_convex([](const Regularizer& r) {
    for (const auto& [height, width] : kShapes) {
      const Tensor m = random_tensor({height, width}, 13);
      Tensor exact = m.clone(), sequential = m.clone(), zeros = Tensor::zeros({height, width});
      shrink_rows_and_columns(rows_of(exact), {r, 0.0, r, 0.0}, kStream);
      shrink_rows_then_columns(rows_of(sequential), {r, 0.0, r, 0.0}, kStream);
      CHECK(std::equal(m.values().begin(), m.values().end(), exact.values().begin()));
      CHECK(std::equal(m.values().begin(), m.values().end(), sequential.values().begin()));
      CHECK(shrink_rows_and_columns(rows_of(zeros), {r, 0.3, r, 0.3}, kStream).iterations == 0);
      for (float value : zeros.values()) CHECK(value == 0.0f);
    }
    Tensor none = Tensor::empty({0, 3});
    CHECK(shrink_rows_and_columns(rows_of(none), {r, 0.3, r, 0.3}, kStream).column_norms.size() == 3);
  });
}

TEST_CASE("group lasso: a single element shrinks by both steps, a single row by its elements first and then as a whole") {
  const auto l1 = make_regularizer("l1");
  for (double m : {0.0, 1e-20, 0.5, 0.7, 0.70001, -3.0}) {
    Tensor w = Tensor::from({1, 1}, {static_cast<float>(m)});
    shrink_rows_and_columns(rows_of(w), {*l1, 0.3, *l1, 0.4}, kStream);
    const double want = std::copysign(std::max(std::abs(m) - 0.7, 0.0), m);
    CHECK((std::abs(static_cast<double>(w.item()) - want) <= 1e-6 * std::abs(m)));
  }
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const double row_step = 0.1 + 0.2 * static_cast<double>(seed % 7), column_step = 0.3;
    const Tensor m = random_tensor({1, 33}, seed);
    Tensor w = m.clone();
    shrink_rows_and_columns(rows_of(w), {*l1, row_step, *l1, column_step}, kStream);
    std::vector<double> want = wide(m);  // sparse group lasso's operator, Friedman, Hastie & Tibshirani 2010
    for (double& value : want) value = std::copysign(std::max(std::abs(value) - column_step, 0.0), value);
    const double length = norm(want), scale = length > row_step ? 1.0 - row_step / length : 0.0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      CHECK((std::abs(static_cast<double>(w.values()[i]) - scale * want[i]) <= 1.1e-6 * norm(wide(m))));
      if (want[i] == 0.0) CHECK(w.values()[i] == 0.0f);
    }
  }
}

TEST_CASE("the exact step is the same for the transposed matrix; vanished rows and columns are exact zeros") {
  const auto l1 = make_regularizer("l1");
  bool some_vanished = false;
  for (double step : {0.3, 0.8, 1.2, 1.6}) {
    Tensor m = random_tensor({20, 13}, 14);
    for (std::int64_t i = 0; i < m.size(); ++i) m.mutable_data()[i] *= 0.1f * static_cast<float>(1 + i / 13);  // rows of all sizes
    Tensor a = m.clone(), b = m.clone();
    shrink_rows_and_columns(rows_of(a), {*l1, step, *l1, 0.8 * step}, kStream);
    shrink_rows_and_columns(columns_of(rows_of(b)), {*l1, 0.8 * step, *l1, step}, kStream);
    for (std::int64_t i = 0; i < a.size(); ++i) CHECK((std::abs(static_cast<double>(a.data()[i] - b.data()[i])) <= 2.2e-6 * norm(wide(m))));
    for (const auto& groups : {rows_of(a), columns_of(rows_of(a)), rows_of(b), columns_of(rows_of(b))}) {
      const std::vector<float> norms = group_norms(groups, kStream);
      for (float value : norms) CHECK((value == 0.0f || static_cast<double>(value) > 1e-5));
      const auto vanished = std::count(norms.begin(), norms.end(), 0.0f);
      some_vanished = some_vanished || (vanished > 0 && vanished < static_cast<std::ptrdiff_t>(norms.size()));
    }
  }
  CHECK(some_vanished);
}

TEST_CASE("the sequential step is the rows' operator and then the columns'") {
  for (const auto& [name, entry] : regularizers()) {
    INFO(name);
    const auto r = make_regularizer(name);
    const Tensor m = random_tensor({9, 7}, 15);
    Tensor sequential = m.clone(), by_hand = m.clone();
    const RowColumnResult result = shrink_rows_then_columns(rows_of(sequential), {*r, 0.3, *r, 0.2}, kStream);
    CHECK(result.column_norms == group_norms(columns_of(rows_of(by_hand)), kStream));
    CHECK(result.row_norms == r->prox(rows_of(by_hand), 0.3, kStream));
    r->prox(columns_of(rows_of(by_hand)), 0.2, kStream);
    CHECK(result.iterations == 0);
    CHECK(std::equal(by_hand.values().begin(), by_hand.values().end(), sequential.values().begin()));
  }
}

TEST_CASE("what the exact step can't do is refused, and the matrix stays as it was") {
  const auto l1 = make_regularizer("l1");
  for (const auto& [name, entry] : regularizers()) {
    if (entry.info.convex) continue;
    const auto r = make_regularizer(name);
    Tensor w = random_tensor({3, 3}, 16);
    CHECK_THROWS_AS(shrink_rows_and_columns(rows_of(w), {*r, 0.1, *l1, 0.1}, kStream), UsageError);
    CHECK_THROWS_WITH(shrink_rows_and_columns(rows_of(w), {*l1, 0.1, *r, 0.1}, kStream), contains("convex") && contains(name) && contains("sequential"));
  }
  const Tensor m = random_tensor({31, 33}, 17);
  Tensor w = m.clone();
  CHECK_THROWS_WITH(shrink_rows_and_columns(rows_of(w), {*l1, 0.7, *l1, 0.7}, kStream, {.tolerance = 1e-9, .max_iterations = 1}),
                    contains("after 1 iterations"));
  CHECK(std::equal(m.values().begin(), m.values().end(), w.values().begin()));
  w.mutable_data()[40] = NAN;
  CHECK_THROWS_WITH(shrink_rows_and_columns(rows_of(w), {*l1, 0.7, *l1, 0.7}, kStream), contains("(1, 7) is nan"));
}
