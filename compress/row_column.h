// Rows and columns of one matrix penalised together (both ends of a factor pair at once):
//
//   minimise over X : [rows, columns]    1/2 ||X - M||^2 + s R(row norms of X) + t C(column norms of X)
//
// Every element lies in a row and in a column, so shrinking rows, then columns, is not the minimiser. Two steps:
//   sequential  rows, then columns (what Li et al.'s program does): two passes, any penalties, depends on the order
//   exact       the Dykstra-like proximal algorithm (Bauschke & Combettes, "A Dykstra-like algorithm for two monotone
//               operators", 2008): both operators in turn, each on what the other left plus its own last correction,
//                 Y = prox_sR(X + P),  P <- X + P - Y,      X <- prox_tC(Y + Q),  Q <- Y + Q - X
//               It needs convex penalties. It ends by a certificate: P and Q are subgradients of s R at Y and of t C at
//               X, so the duality gap of any X~ is a sum of Bregman distances,
//                 gap = sR(X~) - sR(Y) - <P, X~ - Y>  +  tC(X~) - tC(X) - <Q, X~ - X>  +  1/2 ||X~ - X||^2
//               and the objective is 1-strongly convex: 1/2 ||X~ - X*||^2 <= gap.
#pragma once

#include "compress/regularizer.h"

namespace hinge::compress {

struct RowColumnPenalty {
  const Regularizer& rows;
  double row_step = 0.0;
  const Regularizer& columns;
  double column_step = 0.0;
};

struct RowColumnResult {
  std::vector<float> row_norms, column_norms;  // before the step
  int iterations = 0;                          // of the exact step; 0 for the sequential one
  double distance = 0.0;                       // exact: proven bound on ||X - X*|| / ||M||, less the rounding to float
};

// The columns of a matrix that is given by its rows.
kernels::GroupView columns_of(const kernels::GroupView& rows);

// In place.
RowColumnResult shrink_rows_then_columns(const kernels::GroupView& rows, const RowColumnPenalty& penalty,
                                         const Stream& stream);

struct ExactOptions {
  double tolerance = 1e-6;  // of distance
  int max_iterations = 20000;
};
// In place, in double, on the CPU. A penalty that isn't convex is a UsageError; NaN, infinity or no end within
// max_iterations an Error; the matrix is then as it was.
RowColumnResult shrink_rows_and_columns(const kernels::GroupView& rows, const RowColumnPenalty& penalty,
                                        const Stream& stream, const ExactOptions& options = {});

}  // namespace hinge::compress
