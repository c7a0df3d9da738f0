#include "compress/factorize.h"

#include <Eigen/SVD>

#include "engine/core/names.h"

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

}  // namespace

Initialisation initialisation_of(const std::string& name) {
  if (name == "svd") return Initialisation::kSvd;
  if (name == "svd2") return Initialisation::kSvd2;
  if (name == "identity") return Initialisation::kIdentity;
  fail_usage("unknown initialisation '{}' (known: svd, svd2, identity){}", name,
             did_you_mean(name, {"svd", "svd2", "identity"}));
}

Factors factorize(const Tensor& filters, Initialisation initialisation) {
  require(filters.shape().rank() == 4, "factorize: filters are {}, expected [K, R, S, C]", filters.shape());
  const std::int64_t k = filters.dim(0), r = filters.dim(1), s = filters.dim(2), c = filters.dim(3);
  if (initialisation == Initialisation::kIdentity) {
    return {filters.clone(), tensor_of(Matrix::Identity(k, k), {k, 1, 1, k})};
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

Tensor merge(const Tensor& spatial, const Tensor& pointwise) {
  require(spatial.shape().rank() == 4 && pointwise.shape().rank() == 4 && pointwise.dim(3) == spatial.dim(0),
          "merge: spatial is {}, pointwise {}; expected [rank, R, S, C] and [K, 1, 1, rank]", spatial.shape(),
          pointwise.shape());
  const std::int64_t rank = spatial.dim(0), k = pointwise.dim(0);
  const std::int64_t columns = spatial.dim(1) * spatial.dim(2) * spatial.dim(3);
  return tensor_of(matrix_of(pointwise, k, rank) * matrix_of(spatial, rank, columns),
                   {k, spatial.dim(1), spatial.dim(2), spatial.dim(3)});
}

}  // namespace hinge::compress
