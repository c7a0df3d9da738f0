// A convolution as two: W A with spatial filters W and a 1x1 convolution A (Li et al., CVPR 2020, section 3).
//
// The filters of a convolution are the columns of a matrix M : [C R S, K]. A pair of `rank` filters W : [C R S, rank]
// and a matrix A : [rank, K] with W A = M computes the same. Row i of A is what filter i contributes to each output:
// a row that becomes zero removes filter i.
#pragma once

#include <string>

#include "engine/core/tensor.h"

namespace hinge::compress {

enum class Initialisation {
  kSvd,       // W = U S, A = V^T
  kSvd2,      // W = U (orthonormal filters), A = S V^T: the norms of A's rows are the singular values
  kIdentity,  // W = M, A = I
};
// "svd", "svd2", "identity"; throws UsageError.
Initialisation initialisation_of(const std::string& name);

struct Factors {
  Tensor spatial;    // [rank, R, S, C]
  Tensor pointwise;  // [K, 1, 1, rank]: A transposed, as the filters of the 1x1 convolution
};

// filters : [K, R, S, C]. rank = min(C R S, K) for the SVDs (thin, in double precision), K for the identity.
Factors factorize(const Tensor& filters, Initialisation initialisation);

// The convolution W A of a pair: [K, R, S, C].
Tensor merge(const Tensor& spatial, const Tensor& pointwise);

}  // namespace hinge::compress
