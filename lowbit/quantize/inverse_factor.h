// The factor that drives the column sweep: U, the upper Cholesky factor of the inverse of a damped Hessian,
//   Hd = H + damping I,   inv(Hd) = U^T U.                                              [GPTQ, solve]
// Row i of U, divided by U_ii, says how the error of column i is best repaired by the columns after it.
//
// Computed without forming the inverse: with J the reversal of rows and columns, J Hd J = L L^T gives
// Hd = (J L J)(J L J)^T, hence U = inv(J L J) = J inv(L) J. One Cholesky factorisation and one triangular
// inverse, 2/3 C^3 flop instead of the 4/3 C^3 of potrf + potri + potrf, and one rounding error less.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "lowbit/base/buffer.h"
#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"

namespace lowbit {

struct DampingOptions {
  double relative = 0.01;  // damping as a share of the mean of the diagonal
  double step = 0.01;      // on failure the share grows by this or doubles, whichever is more ...
  double limit = 1.0;      // ... up to this share
  int floor_tries = 6;     // then the diagonal gets 1e-6 of its maximum, ten times more in each further try
};

template <typename T>
struct InverseFactor {
  bool ok = false;
  Buffer<T> u;         // (C, C) row-major, zero below the diagonal; empty unless ok
  double damping = 0;  // what was added to the diagonal, absolute
  double mean_diagonal = 0;
  int tries = 0;
  std::string failure;  // why not ok, for the report
};

// `h` (C, C) symmetric, both triangles filled. `order` permutes rows and columns first: row i of U belongs to
// column order[i] of the layer; empty means natural order. Columns whose diagonal is zero get the mean of the
// others, so that they are rounded plainly and disturb nobody. Does not throw on a bad H: it reports.
template <typename T>
InverseFactor<T> FactorInverse(MatrixView<const T> h, std::span<const int32_t> order,
                               const DampingOptions& options, ThreadPool& pool = ThreadPool::Global());

}  // namespace lowbit
