// The scales of a table alphabet as a group quantizer for the column sweep (column_sweep.h) and for plain
// rounding: each (row, group) gets a scale fitted on the weights it is shown, in its stored precision, and
// every weight the code of w / scale (format/table.h's one rounding rule).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/quantize/column_sweep.h"
#include "lowbit/quantize/table_scale.h"

namespace lowbit {

// A matrix of table codes: value = scales[row, g_idx[column]] * table.value[code].
struct TableCodes {
  int64_t rows = 0, cols = 0, groups = 0;  // (out, in), groups of columns
  std::vector<uint8_t> codes;              // (rows, cols) in the layer's own column order
  std::vector<float> scales;               // (rows, groups), each exactly in the scale's format
  float tensor_scale = 1;                  // the f32 scale above E4M3 scales, contained in `scales`
  std::vector<int32_t> g_idx;              // (cols) the group of each column
};

// (rows, cols) values.
std::vector<float> Dequantize(const TableCodes& matrix, const Table& table);

template <typename T>
class TableGroups {
 public:
  // `format` without zero point; `tensor_scale` from TensorScale over the whole matrix. `group_of_column`
  // (C): group of every column in sweep order; `column_weight` (C, sweep order) is the importance of each
  // column in the search, or empty.
  TableGroups(const ScalarFormat& format, float tensor_scale, int64_t rows, int64_t groups,
              std::vector<int32_t> group_of_column, std::vector<float> column_weight = {});

  void BeginGroup(const LiveColumns<T>& live);
  void Quantize(int64_t column, int64_t row, const T* w, T* value, T* code) const;
  // Static groups: the scales fitted so far are final, and columns come in another order from here on.
  void Freeze(std::vector<int32_t> group_of_column);

  // Copies the scales, (rows, groups).
  void Store(TableCodes& matrix) const;

 private:
  size_t Index(int64_t column, int64_t row) const {
    return static_cast<size_t>(group_of_column_[static_cast<size_t>(column)] * padded_rows_ + row);
  }

  std::unique_ptr<TableScaler> Borrow();
  void Return(std::unique_ptr<TableScaler> scaler);

  ScalarFormat format_;
  float tensor_scale_;
  Table table_;
  std::vector<int32_t> below_;  // thresholds as integers in total order, less one
  int64_t rows_, padded_rows_, groups_;
  std::vector<int32_t> group_of_column_;
  std::vector<float> column_weight_;
  std::vector<float> scale_;  // (groups, padded rows)
  bool frozen_ = false;
  std::mutex mutex_;
  std::vector<std::unique_ptr<TableScaler>> scalers_;  // at rest: one a thread is made, once
};

// TensorScale (table_scale.h) of a whole matrix.
float TensorScaleOf(const ScalarFormat& format, MatrixView<const float> w);

// Rounds w (R, C) with a scale for each group of format.group columns (0: whole rows). `importance` (C) or
// empty weights the columns in the search. w must be finite.
TableCodes RoundToTable(MatrixView<const float> w, const ScalarFormat& format,
                        std::span<const float> importance = {}, ThreadPool& pool = ThreadPool::Global());

}  // namespace lowbit
