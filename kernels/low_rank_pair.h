// A low-rank pair: a thin convolution of `rank` filters and the 1x1 convolution behind it, as one operation, so that the
// rank's values never travel to main memory.
//
//   x : [N, H, W, C]     u : [rank, R, S, C]     b : [rank]     v : [K, rank]     d : [K]     z, y : [N, P, Q, K]
//   t[n,p,q,m] = inner(b[m] + sum_{r,s,c} u[m,r,s,c] x[n, p*stride - padding + r, q*stride - padding + s, c])
//   y[n,p,q,k] = outer(d[k] + sum_m v[k,m] t[n,p,q,m] + z[n,p,q,k])
#pragma once

#include <cstdint>

#include "kernels/clamp.h"
#include "kernels/conv2d.h"

namespace hinge::kernels {

struct LowRankPairShape {
  ConvShape thin;      // its k is the rank
  std::int64_t k = 0;  // channels behind the 1x1 convolution
  Clamp inner, outer;

  std::int64_t pixels() const { return thin.n * thin.p() * thin.q(); }
  std::int64_t macs() const { return thin.macs() + pixels() * thin.k * k; }
};
struct LowRankPairOperands {
  const float *x = nullptr, *u = nullptr, *b = nullptr, *v = nullptr, *d = nullptr, *z = nullptr;  // b, d, z may be null
};

// The shapes that the kernel does; two convolutions do the others. The rank's values of at least 32 pixels have to fit into
// the 48 KiB of shared memory that a block gets without asking for more.
inline constexpr std::int64_t kMostFusedRank = 256;
inline bool can_fuse(const LowRankPairShape& s) {
  constexpr std::int64_t kMostExtent = 1 << 24;  // numbers of taps and channels are the kernel's ints
  return s.thin.groups == 1 && s.thin.k >= 1 && s.thin.k <= kMostFusedRank && s.k <= kMostExtent && s.thin.h <= kMostExtent && s.thin.w <= kMostExtent &&
         s.thin.r * s.thin.s * s.thin.c <= kMostExtent;
}

// y must be none of the operands. Throws std::invalid_argument where !can_fuse(shape).
struct LowRankPair {
  static constexpr const char* kName = "low-rank pair";
  using Signature = void(const LowRankPairShape&, const LowRankPairOperands&, float* y);
};

}  // namespace hinge::kernels
