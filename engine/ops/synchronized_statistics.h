// Batch norm over a batch of which every rank has a part: what the ranks' own statistics and gradients come to together.
//
//   mean = sum_r rows_r mean_r / rows                    var = sum_r rows_r (var_r + (mean_r - mean)^2) / rows
//   dx   = gamma rstd (dy - B / rows - xhat G / rows)    B, G: sums over all ranks of the gradients of beta and gamma
//
// One sum of 2 C numbers each way; those of a GPU pass through the host's memory.
#pragma once

#include "engine/core/process_group.h"
#include "engine/core/tensor.h"

namespace hinge {

// mean, var : [C], of this rank's `rows`; they become those of all rows, whose number is returned. `near` : [C], the same on all
// ranks and not far from the means, so that the squares cancel nothing (the running mean).
std::int64_t sum_statistics(ProcessGroup& group, std::int64_t rows, const Tensor& near, Tensor& mean, Tensor& var);

struct NormalizedRows {
  const Tensor &x, &mean, &rstd, &gamma;
  std::int64_t rows;  // of all ranks
};
// What dx lacks that was computed with mean and rstd as constants. dgamma, dbeta : [C], this rank's parts.
Tensor with_statistics_gradient(ProcessGroup& group, const NormalizedRows& of, const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta, const Stream& stream);

}  // namespace hinge
