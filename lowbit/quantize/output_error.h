// The error that a changed weight matrix makes in its layer's output: for each row d of D = W - Q (R, C),
//   d H d^T,   H (C, C) the Hessian of gram.h (twice the mean outer product of the inputs).
#pragma once

#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"

namespace lowbit {

// One value a row (R). R C^2 multiply-adds: as much as a sweep.
template <typename T>
std::vector<double> OutputError(MatrixView<const T> difference, MatrixView<const T> h,
                                ThreadPool& pool = ThreadPool::Global());

}  // namespace lowbit
