// GPTQ (Frantar et al., ICLR 2023): layer-wise quantization that keeps the layer's output on calibration
// data.
//
// For one linear layer W (R = out, C = in) and the Hessian H (C, C) of its inputs (gram.h), choose for each
// row
//   argmin_q (w - q) H (w - q)^T
// greedily, column by column, spreading each rounding error over the columns still to come (column_sweep.h):
//   1. order the columns (column_order.h);
//   2. Hd = H + damping, U = chol(inv(Hd)) upper, with more damping until it succeeds (inverse_factor.h);
//   3. sweep.   If H cannot be factored at all, the layer is rounded to nearest and the result says so.
// Columns that no token ever activated (diag(H) = 0) are rounded plainly.
//
// The grid is either affine, per row or group (SolveGptq), or that of a GGUF block type (SolveGptqGgml), or a
// table of levels (SolveGptqTable). Scales are fitted on the live weights at the start of each group and
// rounded to their stored precision before any code is chosen.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/quantize/column_order.h"
#include "lowbit/quantize/ggml_groups.h"
#include "lowbit/quantize/grid.h"
#include "lowbit/quantize/inverse_factor.h"
#include "lowbit/quantize/table_groups.h"

namespace lowbit {

// What weights the columns when a grid is searched. On GGUF's grids (Q2_K, Q3_K, Q4_0, Q4_K, Q6_K; two
// synthetic layers with correlated inputs, two orders) kPivot left 1 to 10 % less output error on the
// calibration data than kHessianDiagonal; it has not been compared on held-out text.
enum class SearchWeight {
  kUniform,
  kHessianDiagonal,  // diag(H): the error if nothing repaired it
  kPivot,            // 1 / U_ii^2: the error that is left after the later columns have repaired what they can
};

struct GptqOptions {
  GridOptions grid;   // bits 2, 3, 4, 5, 6 or 8 have packings; kind; search
  int64_t group = 0;  // columns that share a grid; 0: the whole row. The last group may be short
  ColumnOrder order = ColumnOrder::kNone;
  SearchWeight search_weight = SearchWeight::kUniform;  // matters with grid.shrink_steps > 0
  DampingOptions damping;
  int64_t block = 128;  // a matter of speed only
};

struct GptqGgmlOptions {
  GgmlGridType type = GgmlGridType::kQ4_K;
  ColumnOrder order = ColumnOrder::kNone;  // or kGroupAware, a group being a block of the type
  SearchWeight search_weight = SearchWeight::kPivot;
  GgmlEmphasis emphasis = GgmlEmphasis::kImportance;
  DampingOptions damping;
  int64_t block = 128;
};

struct GptqTableOptions {
  ScalarFormat format;  // without zero point
  ColumnOrder order = ColumnOrder::kNone;
  SearchWeight search_weight = SearchWeight::kHessianDiagonal;  // matters with the rule kSquaredError
  DampingOptions damping;
  int64_t block = 128;
};

// What every solve reports besides the matrix.
struct GptqReport {
  std::vector<int32_t> permutation;  // (C) the order in which columns were quantized
  double loss = 0;  // 1/2 tr((W - Q) Hd (W - Q)^T); after a fall-back with H for Hd (NaN if H is bad)
  std::vector<double> row_loss;  // (R) its rows
  double damping = 0;            // added to the diagonal of H
  int tries = 0;                 // factorisations it took
  int64_t dead_columns = 0;      // columns with diag(H) = 0
  bool fell_back = false;        // rounded to nearest, because ...
  std::string reason;            // ... of this
};

struct GptqResult : GptqReport {
  AffineCodes matrix;  // codes in original column order, with g_idx
};

struct GptqGgmlResult : GptqReport {
  GgmlCodes matrix;
};

struct GptqTableResult : GptqReport {
  TableCodes matrix;  // codes in original column order, with g_idx
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

// The same on the grid of a GGUF block type. Also throws when the columns are not whole blocks.
template <typename T>
GptqGgmlResult SolveGptqGgml(MatrixView<const T> w, MatrixView<const T> h, const GptqGgmlOptions& options,
                             ThreadPool& pool = ThreadPool::Global(), GptqTimes* times = nullptr);

// The same on a table of levels.
GptqTableResult SolveGptqTable(MatrixView<const float> w, MatrixView<const float> h,
                               const GptqTableOptions& options, ThreadPool& pool = ThreadPool::Global(),
                               GptqTimes* times = nullptr);

}  // namespace lowbit
