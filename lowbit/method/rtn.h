// Round to nearest: every (row, group) gets its grid, every weight the nearest code. The baseline of every
// other method, and with an importance (the mean square of each input, gram.h) the equivalent of
// importance-weighted rounding.
#pragma once

#include <cstdint>
#include <span>

#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/quantize/grid.h"

namespace lowbit {

struct RtnOptions {
  GridOptions grid;   // bits, kind, search
  int64_t group = 0;  // columns that share a grid; 0: the whole row. The last group may be short
};

// w (R, C); `importance` (C) weights the columns in the grid's search (grid.shrink_steps > 0), or is empty.
// T is float or double. Throws naming row and column when a weight is NaN or infinite.
template <typename T>
AffineCodes RoundToNearest(MatrixView<const T> w, const RtnOptions& options,
                           std::span<const T> importance = {}, ThreadPool& pool = ThreadPool::Global());

// Throws lowbit::Error naming the first weight that is NaN or infinite.
template <typename T>
void CheckFinite(MatrixView<const T> w);

}  // namespace lowbit
