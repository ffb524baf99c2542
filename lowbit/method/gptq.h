// GPTQ (Frantar et al., ICLR 2023): layer-wise quantization that keeps the layer's output on calibration
// data.
//
// For one linear layer W (R = out, C = in) and the Hessian H (C, C) of its inputs (gram.h), choose for each
// row
//   argmin_q (w - q) H (w - q)^T
// greedily, column by column, spreading each rounding error over the columns still to come (column_sweep.h):
//   1. order the columns (below);   2. Hd = H + damping, U = chol(inv(Hd)) upper, more damping until it
//   succeeds;
//   3. sweep.   If H cannot be factored at all, the layer is rounded to nearest and the result says so.
//
// Orders (diag(H) says how much a column matters; what is quantized first has the most columns left to repair
// it):
//   kNone          natural order
//   kActivation    diag(H) descending; groups are runs of *sorted* columns, so g_idx is irregular
//   ("desc_act") kStaticGroups  the same order; groups are runs of original columns, fitted beforehand on the
//   original weights kGroupAware    columns sorted within their original group, groups sorted by their
//   largest column; grids are fitted
//                  on live weights and g_idx stays trivial
// Columns that no token ever activated (diag(H) = 0) are rounded plainly.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/quantize/grid.h"
#include "lowbit/quantize/inverse_factor.h"

namespace lowbit {

enum class ColumnOrder { kNone, kActivation, kStaticGroups, kGroupAware };
// What weights the columns in the grid's shrink search (grid.shrink_steps > 0).
enum class SearchWeight { kUniform, kHessianDiagonal };

struct GptqOptions {
  GridOptions grid;   // bits 2, 3, 4, 5, 6 or 8 have packings; kind; search
  int64_t group = 0;  // columns that share a grid; 0: the whole row. The last group may be short
  ColumnOrder order = ColumnOrder::kNone;
  SearchWeight search_weight = SearchWeight::kUniform;
  DampingOptions damping;
  int64_t block = 128;  // a matter of speed only
};

struct GptqResult {
  AffineCodes matrix;                // codes in original column order, with g_idx
  std::vector<int32_t> permutation;  // (C) the order in which columns were quantized
  double loss = 0;                   // 1/2 tr((W - Q) Hd (W - Q)^T); NaN after a fall-back with a bad H
  std::vector<double> row_loss;      // (R) its rows
  double damping = 0;                // added to the diagonal of H
  int tries = 0;                     // factorisations it took
  int64_t dead_columns = 0;          // columns with diag(H) = 0
  bool fell_back = false;            // rounded to nearest, because ...
  std::string reason;                // ... of this
};

// Seconds spent, for benchmarks.
struct GptqTimes {
  double factor = 0, sweep = 0;
};

// `h` symmetric, both triangles. T is float or double, the arithmetic of the whole solve. Throws naming row
// and column when a weight is NaN or infinite; a bad Hessian never throws.
template <typename T>
GptqResult SolveGptq(MatrixView<const T> w, MatrixView<const T> h, const GptqOptions& options,
                     ThreadPool& pool = ThreadPool::Global(), GptqTimes* times = nullptr);

}  // namespace lowbit
