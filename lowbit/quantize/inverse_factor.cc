#include "lowbit/quantize/inverse_factor.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "lowbit/base/blas.h"
#include "lowbit/base/error.h"

namespace lowbit {
namespace {

// flipped = J P H P^T J (lower triangle), plus `extra` on the diagonal.
template <typename T>
void FlipPermute(MatrixView<const T> h, std::span<const int32_t> order, const std::vector<T>& diagonal,
                 MatrixView<T> flipped, ThreadPool& pool) {
  const int64_t n = h.rows;
  pool.Run(n, [&](int64_t row, int) {
    const int64_t i = n - 1 - row;  // row of P H P^T
    T* out = flipped.Row(row);
    if (order.empty()) {
      const T* in = h.Row(i) + i;  // upper triangle of row i, read forwards, written backwards
      for (int64_t c = 0; c <= row; ++c) out[row - c] = in[c];
    } else {
      const int64_t from = order[static_cast<size_t>(i)];
      for (int64_t c = 0; c <= row; ++c) {
        out[c] = h(from, order[static_cast<size_t>(n - 1 - c)]);  // gathers within one row
      }
    }
    out[row] = diagonal[static_cast<size_t>(i)];
  });
}

template <typename T>
bool AllFinite(MatrixView<const T> a, ThreadPool& pool) {
  std::vector<uint8_t> bad(static_cast<size_t>(a.rows), 0);
  pool.Run(a.rows, [&](int64_t row, int) {
    T sum = 0;  // x - x is zero for finite x and NaN otherwise
    for (int64_t c = 0; c < a.cols; ++c) sum += a(row, c) - a(row, c);
    bad[static_cast<size_t>(row)] = !(sum == T(0));
  });
  return std::none_of(bad.begin(), bad.end(), [](uint8_t b) { return b != 0; });
}

}  // namespace

template <typename T>
InverseFactor<T> FactorInverse(MatrixView<const T> h, std::span<const int32_t> order,
                               const DampingOptions& options, ThreadPool& pool) {
  const int64_t n = h.rows;
  if (h.cols != n) Fail("Hessian is not square: ({}, {})", h.rows, h.cols);
  if (!order.empty() && static_cast<int64_t>(order.size()) != n) {
    Fail("column order of {} columns for a Hessian of {}", order.size(), n);
  }
  InverseFactor<T> result;
  if (n == 0) {
    result.ok = true;
    return result;
  }
  std::vector<T> diagonal(static_cast<size_t>(n));
  double sum = 0, largest = 0;
  int64_t live = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t c = order.empty() ? i : order[static_cast<size_t>(i)];
    const T d = h(c, c);
    if (!std::isfinite(d) || d < T(0)) {
      result.failure = fmt::format("the Hessian's diagonal is {} at column {}", static_cast<double>(d), c);
      return result;
    }
    diagonal[static_cast<size_t>(i)] = d;
    if (d > T(0)) {
      sum += static_cast<double>(d);
      largest = std::max(largest, static_cast<double>(d));
      ++live;
    }
  }
  if (live == 0) {
    result.failure = "the Hessian is zero: no calibration token reached this layer";
    return result;
  }
  result.mean_diagonal = sum / static_cast<double>(live);
  for (T& d : diagonal) {
    if (d == T(0)) d = static_cast<T>(result.mean_diagonal);
  }

  Buffer<T> factor(static_cast<size_t>(n * n));
  const MatrixView<T> l(factor.data(), n, n);
  double share = options.relative;
  for (int floor_try = -1;;) {
    ++result.tries;
    result.damping = share * result.mean_diagonal;
    if (floor_try >= 0) result.damping += 1e-6 * largest * std::pow(10.0, floor_try);
    std::vector<T> damped = diagonal;
    for (T& d : damped) d = static_cast<T>(static_cast<double>(d) + result.damping);
    FlipPermute(h, order, damped, l, pool);
    const std::optional<int64_t> pivot = Cholesky(l, pool);
    if (!pivot) break;
    if (share < options.limit) {
      share = std::min(options.limit, std::max(share + options.step, 2 * share));
    } else if (++floor_try >= options.floor_tries) {
      const int64_t i = n - 1 - *pivot;
      result.failure =
          fmt::format("the Hessian is not positive definite at column {} with {:.3g} added to its diagonal",
                      order.empty() ? i : order[static_cast<size_t>(i)], result.damping);
      return result;
    }
  }

  result.u = Buffer<T>(static_cast<size_t>(n * n));
  const MatrixView<T> u(result.u.data(), n, n);
  InvertLower<T>(l, u, pool);
  // J A J of a row-major matrix is its elements in reverse order; each task swaps one row with its mirror.
  pool.Run((n + 1) / 2, [&](int64_t row, int) {
    T* a = u.Row(row);
    T* b = u.Row(n - 1 - row);
    if (a == b) {
      std::reverse(a, a + n);
    } else {
      for (int64_t c = 0; c < n; ++c) std::swap(a[c], b[n - 1 - c]);
    }
  });
  if (!AllFinite<T>(u, pool)) {
    result.u = Buffer<T>();
    result.failure = "the inverse of the Hessian overflows";
    return result;
  }
  result.ok = true;
  return result;
}

template InverseFactor<float> FactorInverse(MatrixView<const float>, std::span<const int32_t>,
                                            const DampingOptions&, ThreadPool&);
template InverseFactor<double> FactorInverse(MatrixView<const double>, std::span<const int32_t>,
                                             const DampingOptions&, ThreadPool&);

}  // namespace lowbit
