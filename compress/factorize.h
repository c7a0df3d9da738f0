// A convolution as two: W A with spatial filters W and a 1x1 convolution A (Li et al., CVPR 2020, section 3).
//
// The filters of a convolution are the columns of a matrix M : [C R S, K]. A pair of `rank` filters W : [C R S, rank]
// and a matrix A : [rank, K] with W A = M computes the same. Row i of A is what filter i contributes to each output:
// a row that becomes zero removes filter i.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace hinge::compress {

enum class Initialisation {
  kSvd,                // W = U S, A = V^T
  kSvd2,               // W = U (orthonormal filters), A = S V^T: the norms of A's rows are the singular values
  kIdentity,           // W = M, A = I
  kDisturbedIdentity,  // W = M, A = I + noise, rows or columns scaled to norm 1 again: changes the function slightly
  kRandom,             // both at random (He et al., 2015): forgets the filters, a baseline for ablations
};
// "svd", "svd2", "identity", "disturbed-identity", "random"; throws UsageError.
Initialisation initialisation_of(const std::string& name);
std::vector<std::string> initialisation_names();
// Do W and A reproduce the trained filters?
bool is_exact(Initialisation initialisation);
// How many filters W has: min(C R S, K) for the SVDs, K for the others. filters : [K, R, S, C] given by K and C R S.
std::int64_t rank_of(Initialisation initialisation, std::int64_t k, std::int64_t filter);

// Of the two initialisations with randomness; a pure function of the seed.
struct NoiseOptions {
  double scale = 0.01;   // standard deviation, or half the width of the uniform distribution
  bool uniform = false;  // else normal
  bool rows = true;      // which of A are scaled to norm 1; columns if false
  std::uint64_t seed = 0;
};

struct Factors {
  Tensor spatial;    // [rank, R, S, C]
  Tensor pointwise;  // [K, 1, 1, rank]: A transposed, as the filters of the 1x1 convolution
};

// filters : [K, R, S, C]. The SVDs are thin and in double precision.
Factors factorize(const Tensor& filters, Initialisation initialisation, const NoiseOptions& noise = {});

}  // namespace hinge::compress
