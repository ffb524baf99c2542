// The grids of a GGUF block type as a group quantizer for the column sweep (column_sweep.h) and for plain
// rounding: a group is one block, fitted by importance on the weights it is shown.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lowbit/quantize/column_sweep.h"
#include "lowbit/quantize/ggml_grid.h"

namespace lowbit {

// What a fit minimises: sum_c w_c (x_c - value_c)^2 with w_c the column's importance, or
// w_c = importance_c sqrt(sigma^2 + x_c^2), sigma^2 the mean square of the block, which favours large
// weights.
enum class GgmlEmphasis { kImportance, kImportanceAndMagnitude };

// Throws lowbit::Error unless rows of `cols` columns are whole blocks of the type.
void CheckGgmlColumns(const GgmlGrid& grid, int64_t cols);

template <typename T>
class GgmlGroups {
 public:
  // `importance` (C, the layer's own order) or empty for uniform; a zero counts as a millionth of the mean,
  // so that unseen columns are still rounded sensibly. `order` (C) as in ColumnSweep: every block's columns
  // must be adjacent in it, in any order; empty is natural.
  GgmlGroups(GgmlGridType type, int64_t rows, int64_t cols, std::span<const float> importance = {},
             GgmlEmphasis emphasis = GgmlEmphasis::kImportance, std::vector<int32_t> order = {});

  void BeginGroup(const LiveColumns<T>& live);
  void Quantize(int64_t column, int64_t row, const T* w, T* value, T* code) const;

  // Copies the grids, and reserves the codes.
  void Store(GgmlCodes& matrix) const;

 private:
  int64_t ColumnOf(int64_t position) const {
    return order_.empty() ? position : order_[static_cast<size_t>(position)];
  }

  const GgmlGrid& grid_;
  int64_t rows_, padded_rows_, cols_;
  std::vector<float> importance_;
  GgmlEmphasis emphasis_;
  std::vector<int32_t> order_;
  // (blocks or sub-blocks, padded rows): the rows of a strip lie side by side.
  std::vector<float> d_, dmin_, scale_, min_;
  std::vector<T> step_, offset_;  // d * scale and dmin * min
};

// Rounds w (R, C) to the type: what an importance-weighted quantizer without error feedback does.
// `importance` (C) or empty.
template <typename T>
GgmlCodes RoundToGgml(MatrixView<const T> w, GgmlGridType type, std::span<const float> importance = {},
                      GgmlEmphasis emphasis = GgmlEmphasis::kImportance,
                      ThreadPool& pool = ThreadPool::Global());

}  // namespace lowbit
