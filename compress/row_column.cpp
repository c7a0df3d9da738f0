#include "compress/row_column.h"

#include <cmath>

#include "engine/core/error.h"

namespace hinge::compress {
namespace {

// A dense matrix in double, row-major.
struct Matrix {
  std::size_t rows = 0, columns = 0;
  std::vector<double> data;

  double& at(std::size_t i, std::size_t j) { return data[i * columns + j]; }
  double at(std::size_t i, std::size_t j) const { return data[i * columns + j]; }

  std::vector<double> row_norms() const {
    std::vector<double> squares(rows, 0.0);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < columns; ++j) squares[i] += at(i, j) * at(i, j);
    }
    for (double& value : squares) value = std::sqrt(value);
    return squares;
  }
  std::vector<double> column_norms() const {
    std::vector<double> squares(columns, 0.0);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < columns; ++j) squares[j] += at(i, j) * at(i, j);
    }
    for (double& value : squares) value = std::sqrt(value);
    return squares;
  }
};

Matrix read(const kernels::GroupView& w) {
  Matrix m{static_cast<std::size_t>(w.groups), static_cast<std::size_t>(w.size), {}};
  for (std::int64_t i = 0; i < w.groups; ++i) {
    for (std::int64_t j = 0; j < w.size; ++j) {
      const double value = static_cast<double>(w.data[i * w.group_stride + j * w.element_stride]);
      require(std::isfinite(value), "rows and columns: element ({}, {}) is {}", i, j, value);
      m.data.push_back(value);
    }
  }
  return m;
}

void write(const Matrix& m, const kernels::GroupView& w) {
  for (std::int64_t i = 0; i < w.groups; ++i) {
    for (std::int64_t j = 0; j < w.size; ++j) {
      w.data[i * w.group_stride + j * w.element_stride] =
          static_cast<float>(m.at(static_cast<std::size_t>(i), static_cast<std::size_t>(j)));
    }
  }
}

// <a, b - c>
double dot_difference(const Matrix& a, const Matrix& b, const Matrix& c) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.data.size(); ++i) sum += a.data[i] * (b.data[i] - c.data[i]);
  return sum;
}

double squared_distance(const Matrix& a, const Matrix& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.data.size(); ++i) sum += (a.data[i] - b.data[i]) * (a.data[i] - b.data[i]);
  return sum;
}

// One half of an iteration: out = prox(in + correction), correction <- in + correction - out.
template <class Prox>
void correct(const Matrix& in, Matrix& correction, Matrix& out, Prox prox) {
  for (std::size_t i = 0; i < in.data.size(); ++i) out.data[i] = correction.data[i] += in.data[i];
  prox(out);
  for (std::size_t i = 0; i < in.data.size(); ++i) correction.data[i] -= out.data[i];
}

class Dykstra {
 public:
  Dykstra(const Matrix& m, const RowColumnPenalty& penalty)
      : penalty_(penalty), x_(m), y_(m), p_{m.rows, m.columns, std::vector<double>(m.data.size(), 0.0)}, q_(p_) {}

  void iterate() {
    correct(x_, p_, y_, [&](Matrix& m) {
      const std::vector<double> scales = penalty_.rows.scales(m.row_norms(), penalty_.row_step);
      for (std::size_t i = 0; i < m.rows; ++i) {
        for (std::size_t j = 0; j < m.columns; ++j) m.at(i, j) *= scales[i];
      }
    });
    correct(y_, q_, x_, [&](Matrix& m) {
      const std::vector<double> scales = penalty_.columns.scales(m.column_norms(), penalty_.column_step);
      for (std::size_t i = 0; i < m.rows; ++i) {
        for (std::size_t j = 0; j < m.columns; ++j) m.at(i, j) *= scales[j];
      }
    });
  }

  // X with the rows that are zero in Y: X's own rows only tend to zero.
  Matrix result() const {
    Matrix result = x_;
    const std::vector<double> norms = y_.row_norms();
    for (std::size_t i = 0; i < result.rows; ++i) {
      if (norms[i] > 0.0) continue;
      for (std::size_t j = 0; j < result.columns; ++j) result.at(i, j) = 0.0;
    }
    return result;
  }

  double gap(const Matrix& result) const {
    const double rows = penalty_.row_step * (row_penalty(result) - row_penalty(y_)) - dot_difference(p_, result, y_);
    const double columns = penalty_.column_step * (column_penalty(result) - column_penalty(x_)) - dot_difference(q_, result, x_);
    return rows + columns + 0.5 * squared_distance(result, x_);
  }

 private:
  double row_penalty(const Matrix& m) const { return penalty_.rows.penalty(std::span<const double>(m.row_norms())); }
  double column_penalty(const Matrix& m) const { return penalty_.columns.penalty(std::span<const double>(m.column_norms())); }

  const RowColumnPenalty& penalty_;
  Matrix x_, y_, p_, q_;
};

}  // namespace

kernels::GroupView columns_of(const kernels::GroupView& rows) {
  return {.data = rows.data, .groups = rows.size, .size = rows.groups, .group_stride = rows.element_stride, .element_stride = rows.group_stride};
}

RowColumnResult shrink_rows_then_columns(const kernels::GroupView& rows, const RowColumnPenalty& penalty,
                                         const Stream& stream) {
  RowColumnResult result;
  result.column_norms = group_norms(columns_of(rows), stream);
  result.row_norms = penalty.rows.prox(rows, penalty.row_step, stream);
  penalty.columns.prox(columns_of(rows), penalty.column_step, stream);
  return result;
}

RowColumnResult shrink_rows_and_columns(const kernels::GroupView& rows, const RowColumnPenalty& penalty,
                                        const Stream& stream, const ExactOptions& options) {
  for (const Regularizer* regularizer : {&penalty.rows, &penalty.columns}) {
    if (!regularizer->info().convex) {
      std::vector<std::string> convex;
      for (const auto& [name, entry] : regularizers()) {
        if (entry.info.convex) convex.push_back(name);
      }
      fail_usage("the exact step on rows and columns needs a convex penalty, {} is not (convex: {}); the sequential step takes any",
                 regularizer->info().name, fmt::join(convex, ", "));
    }
  }
  require(stream.device().kind == Device::Kind::kCpu, "the exact step on rows and columns runs on the CPU, not on {}",
          stream.device().to_string());
  const Matrix m = read(rows);
  double squares = 0.0;
  for (double value : m.data) squares += value * value;
  RowColumnResult result;
  result.row_norms = group_norms(rows, stream);
  result.column_norms = group_norms(columns_of(rows), stream);
  if (squares == 0.0) return result;

  Dykstra dykstra(m, penalty);
  while (result.iterations < options.max_iterations) {
    dykstra.iterate();
    ++result.iterations;
    const Matrix now = dykstra.result();
    result.distance = std::sqrt(2.0 * std::fmax(dykstra.gap(now), 0.0) / squares);
    if (result.distance <= options.tolerance) {
      write(now, rows);
      return result;
    }
  }
  fail("the exact step on rows and columns is within {:.1e} of the solution after {} iterations, expected {:.1e}",
       result.distance, options.max_iterations, options.tolerance);
}

}  // namespace hinge::compress
