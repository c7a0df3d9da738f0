#include "compress/factorize.h"

#include <Eigen/SVD>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/core/names.h"
#include "kernels/philox.h"

namespace hinge::compress {
namespace {

// Row-major [rows, columns], as tensors lie in memory.
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Matrix matrix_of(const Tensor& tensor, Eigen::Index rows, Eigen::Index columns) {
  Matrix result(rows, columns);
  std::copy_n(tensor.data(), tensor.size(), result.data());
  return result;
}

Tensor tensor_of(const Matrix& matrix, Shape shape) {
  Tensor result = Tensor::empty(shape);
  for (Eigen::Index i = 0; i < matrix.size(); ++i) result.mutable_data()[i] = static_cast<float>(matrix.data()[i]);
  return result;
}

const std::vector<std::string> kNames = {"svd", "svd2", "identity", "disturbed-identity", "random"};

// Number `index` of noise of unit scale.
double noise_at(const NoiseOptions& options, std::uint64_t index) {
  const PhiloxWords words = random_words(options.seed, RandomUse::kInitialise, 1, index);
  const double u = static_cast<double>(uniform(words.word[0])), v = static_cast<double>(uniform(words.word[1]));
  if (options.uniform) return 2.0 * u - 1.0;
  return std::sqrt(-2.0 * std::log1p(-u)) * std::cos(2.0 * std::numbers::pi * v);  // Box-Muller
}

Matrix noise_matrix(Eigen::Index rows, Eigen::Index columns, double scale, const NoiseOptions& options) {
  Matrix result(rows, columns);
  for (Eigen::Index i = 0; i < result.size(); ++i) result.data()[i] = scale * noise_at(options, static_cast<std::uint64_t>(i));
  return result;
}

// A transposed, [K, K]: columns of this are rows of A.
Matrix disturbed_identity(Eigen::Index k, const NoiseOptions& options) {
  Matrix a = Matrix::Identity(k, k) + noise_matrix(k, k, options.scale, options);
  for (Eigen::Index i = 0; i < k; ++i) {
    const double norm = options.rows ? a.col(i).norm() : a.row(i).norm();
    require(norm > 0.0, "factorize: the noise of scale {} emptied a {} of A", options.scale, options.rows ? "row" : "column");
    if (options.rows) {
      a.col(i) /= norm;
    } else {
      a.row(i) /= norm;
    }
  }
  return a;
}

}  // namespace

std::vector<std::string> initialisation_names() { return kNames; }

Initialisation initialisation_of(const std::string& name) {
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) {
    fail_usage("unknown initialisation '{}' (known: {}){}", name, fmt::join(kNames, ", "), did_you_mean(name, kNames));
  }
  return static_cast<Initialisation>(found - kNames.begin());
}

bool is_exact(Initialisation initialisation) { return initialisation <= Initialisation::kIdentity; }

std::int64_t rank_of(Initialisation initialisation, std::int64_t k, std::int64_t filter) {
  const bool svd = initialisation == Initialisation::kSvd || initialisation == Initialisation::kSvd2;
  return svd ? std::min(k, filter) : k;
}

Factors factorize(const Tensor& filters, Initialisation initialisation, const NoiseOptions& noise) {
  require(filters.shape().rank() == 4, "factorize: filters are {}, expected [K, R, S, C]", filters.shape());
  const std::int64_t k = filters.dim(0), r = filters.dim(1), s = filters.dim(2), c = filters.dim(3);
  if (initialisation == Initialisation::kIdentity) {
    return {filters.clone(), tensor_of(Matrix::Identity(k, k), {k, 1, 1, k})};
  }
  if (initialisation == Initialisation::kDisturbedIdentity) {
    return {filters.clone(), tensor_of(disturbed_identity(k, noise), {k, 1, 1, k})};
  }
  if (initialisation == Initialisation::kRandom) {
    NoiseOptions normal{.seed = noise.seed};
    const Matrix spatial = noise_matrix(k, r * s * c, std::sqrt(2.0 / static_cast<double>(r * s * c)), normal);
    normal.seed += 1;
    return {tensor_of(spatial, {k, r, s, c}), tensor_of(noise_matrix(k, k, std::sqrt(1.0 / static_cast<double>(k)), normal), {k, 1, 1, k})};
  }
  // Filters are rows here, so this is M^T = V S U^T: left vectors are V, right ones U.
  const Matrix transposed = matrix_of(filters, k, r * s * c);
  require(transposed.allFinite(), "factorize: the filters hold NaN or infinity");
  const Eigen::BDCSVD<Matrix> svd(transposed, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Eigen::Index rank = svd.singularValues().size();
  Matrix spatial = svd.matrixV().transpose();
  Matrix pointwise = svd.matrixU();
  if (initialisation == Initialisation::kSvd) {
    spatial = svd.singularValues().asDiagonal() * spatial;
  } else {
    pointwise = pointwise * svd.singularValues().asDiagonal();
  }
  return {tensor_of(spatial, {rank, r, s, c}), tensor_of(pointwise, {k, 1, 1, rank})};
}

}  // namespace hinge::compress
