#include "tests/kernels/winograd.h"

#include <array>
#include <cmath>

namespace hinge::testing {
namespace {

constexpr int kPoints = 6;  // five and infinity: 4 + 3 - 1
constexpr std::array<double, kPoints - 1> kAt = {0.0, 0.625, -0.625, 1.5, -1.5};

struct Matrix {
  int rows = 0, columns = 0;
  std::vector<double> data = std::vector<double>(static_cast<std::size_t>(rows * columns), 0.0);
  double& at(int i, int j) { return data[static_cast<std::size_t>(i * columns + j)]; }
  double at(int i, int j) const { return data[static_cast<std::size_t>(i * columns + j)]; }
};

Matrix multiply(const Matrix& a, const Matrix& b) {
  Matrix c{a.rows, b.columns};
  for (int i = 0; i < a.rows; ++i) {
    for (int k = 0; k < a.columns; ++k) {
      for (int j = 0; j < b.columns; ++j) c.at(i, j) += a.at(i, k) * b.at(k, j);
    }
  }
  return c;
}

Matrix transpose(const Matrix& a) {
  Matrix t{a.columns, a.rows};
  for (int i = 0; i < a.rows; ++i) {
    for (int j = 0; j < a.columns; ++j) t.at(j, i) = a.at(i, j);
  }
  return t;
}

double maybe_absolute(double value, Terms terms) { return terms == Terms::kAbsolute ? std::fabs(value) : value; }

// A polynomial's values at the points, its leading coefficient at infinity; `divide` by prod_k (a_i - a_k).
Matrix evaluation(int coefficients, bool divide, Terms terms) {
  Matrix m{kPoints, coefficients};
  for (int i = 0; i < kPoints - 1; ++i) {
    double product = 1.0;
    for (int k = 0; k < kPoints - 1; ++k) {
      if (k != i) product *= kAt[static_cast<std::size_t>(i)] - kAt[static_cast<std::size_t>(k)];
    }
    for (int j = 0; j < coefficients; ++j) {
      m.at(i, j) = maybe_absolute(std::pow(kAt[static_cast<std::size_t>(i)], j) / (divide ? product : 1.0), terms);
    }
  }
  m.at(kPoints - 1, coefficients - 1) = 1.0;
  return m;
}

// Row i: the coefficients of prod_{k != i} (t - a_k); the last row: of prod_k (t - a_k).
Matrix interpolation(Terms terms) {
  Matrix m{kPoints, kPoints};
  for (int i = 0; i < kPoints; ++i) {
    m.at(i, 0) = 1.0;
    for (int k = 0, degree = 0; k < kPoints - 1; ++k) {
      if (k == i) continue;
      ++degree;
      for (int j = degree; j >= 0; --j) {
        m.at(i, j) = (j > 0 ? m.at(i, j - 1) : 0.0) - kAt[static_cast<std::size_t>(k)] * m.at(i, j);
      }
    }
    for (int j = 0; j < kPoints; ++j) m.at(i, j) = maybe_absolute(m.at(i, j), terms);
  }
  return m;
}

Matrix both_sides(const Matrix& m, const Matrix& tile) { return multiply(multiply(m, tile), transpose(m)); }

// rows x columns values of one channel of picture n from (h, w) on, zeros outside.
Matrix tile(const Array& x, std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c, int rows, Terms terms) {
  Matrix m{rows, rows};
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < rows; ++j) {
      const std::int64_t y = h + i, v = w + j;
      if (y < 0 || y >= x.dim(1) || v < 0 || v >= x.dim(2)) continue;
      m.at(i, j) = maybe_absolute(x[((n * x.dim(1) + y) * x.dim(2) + v) * x.dim(3) + c], terms);
    }
  }
  return m;
}

}  // namespace

Array winograd_forward(const Array& x, const Array& w, int padding, Terms terms) {
  const Matrix a = transpose(evaluation(4, false, terms)), g = evaluation(3, true, terms), b = interpolation(terms);
  const std::int64_t k_count = w.dim(0), c_count = w.dim(3);
  std::vector<Matrix> filters;
  for (std::int64_t k = 0; k < k_count; ++k) {
    for (std::int64_t c = 0; c < c_count; ++c) filters.push_back(both_sides(g, tile(w, k, 0, 0, c, 3, terms)));
  }
  Array y({x.dim(0), x.dim(1) + 2 * padding - 2, x.dim(2) + 2 * padding - 2, k_count});
  for (std::int64_t n = 0; n < y.dim(0); ++n) {
    for (std::int64_t p = 0; p < y.dim(1); p += 4) {
      for (std::int64_t q = 0; q < y.dim(2); q += 4) {
        std::vector<Matrix> sums(static_cast<std::size_t>(k_count), Matrix{kPoints, kPoints});
        for (std::int64_t c = 0; c < c_count; ++c) {
          const Matrix data = both_sides(b, tile(x, n, p - padding, q - padding, c, kPoints, terms));
          for (std::int64_t k = 0; k < k_count; ++k) {
            const Matrix& filter = filters[static_cast<std::size_t>(k * c_count + c)];
            for (std::size_t i = 0; i < data.data.size(); ++i) sums[static_cast<std::size_t>(k)].data[i] += filter.data[i] * data.data[i];
          }
        }
        for (std::int64_t k = 0; k < k_count; ++k) {
          const Matrix out = both_sides(a, sums[static_cast<std::size_t>(k)]);
          for (int i = 0; i < 4 && p + i < y.dim(1); ++i) {
            for (int j = 0; j < 4 && q + j < y.dim(2); ++j) y[((n * y.dim(1) + p + i) * y.dim(2) + q + j) * k_count + k] = out.at(i, j);
          }
        }
      }
    }
  }
  return y;
}

Array winograd_backward_data(const Array& dy, const Array& w, int padding, Terms terms) {
  const std::int64_t k_count = w.dim(0), c_count = w.dim(3);
  Array turned({c_count, 3, 3, k_count});
  for (std::int64_t k = 0; k < k_count; ++k) {
    for (std::int64_t i = 0; i < 9; ++i) {
      for (std::int64_t c = 0; c < c_count; ++c) turned[(c * 9 + 8 - i) * k_count + k] = w[(k * 9 + i) * c_count + c];
    }
  }
  return winograd_forward(dy, turned, 2 - padding, terms);
}

Array winograd_backward_weights(const Array& x, const Array& dy, int padding, Terms terms) {
  const Matrix a = transpose(evaluation(3, false, terms)), g = evaluation(4, true, terms), b = interpolation(terms);
  const std::int64_t k_count = dy.dim(3), c_count = x.dim(3);
  std::vector<Matrix> sums(static_cast<std::size_t>(k_count * c_count), Matrix{kPoints, kPoints});
  for (std::int64_t n = 0; n < dy.dim(0); ++n) {
    for (std::int64_t p = 0; p < dy.dim(1); p += 4) {
      for (std::int64_t q = 0; q < dy.dim(2); q += 4) {
        std::vector<Matrix> data;
        for (std::int64_t c = 0; c < c_count; ++c) data.push_back(both_sides(b, tile(x, n, p - padding, q - padding, c, kPoints, terms)));
        for (std::int64_t k = 0; k < k_count; ++k) {
          const Matrix gradient = both_sides(g, tile(dy, n, p, q, k, 4, terms));
          for (std::int64_t c = 0; c < c_count; ++c) {
            Matrix& sum = sums[static_cast<std::size_t>(k * c_count + c)];
            for (std::size_t i = 0; i < sum.data.size(); ++i) sum.data[i] += gradient.data[i] * data[static_cast<std::size_t>(c)].data[i];
          }
        }
      }
    }
  }
  Array dw({k_count, 3, 3, c_count});
  for (std::int64_t k = 0; k < k_count; ++k) {
    for (std::int64_t c = 0; c < c_count; ++c) {
      const Matrix out = both_sides(a, sums[static_cast<std::size_t>(k * c_count + c)]);
      for (int i = 0; i < 3; ++i) {
        for (int j = 0; j < 3; ++j) dw[((k * 3 + i) * 3 + j) * c_count + c] = out.at(i, j);
      }
    }
  }
  return dw;
}

}  // namespace hinge::testing
