// The affine grids of a whole matrix as a group quantizer: fits a grid for each (row, group) when the sweep
// (or round-to-nearest) reaches the group, then rounds column by column. See column_sweep.h for the
// interface.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/quantize/column_sweep.h"
#include "lowbit/quantize/grid.h"

namespace lowbit {

template <typename T>
class AffineGroups {
 public:
  // `group_of_column` (C): group of every column, in sweep order; groups are numbered 0 ... groups-1 in any
  // order. `column_weight` (C, sweep order) is the importance of each column in the search, or empty.
  AffineGroups(const GridOptions& options, int64_t rows, int64_t groups, std::vector<int32_t> group_of_column,
               std::vector<T> column_weight = {});

  // Fits the grid of the group that `live` starts, unless Freeze was called.
  void BeginGroup(const LiveColumns<T>& live);
  // Rounds one column of kLanes rows from `row` on.
  void Quantize(int64_t column, int64_t row, const T* w, T* value, T* code) const {
    const size_t at = Index(column, row);
    Lanes<T>().quantize(w, scale_.data() + at, zero_.data() + at, max_code_, value, code);
  }
  // Static groups: the grids fitted so far are final, and columns come in another order from here on.
  void Freeze(std::vector<int32_t> group_of_column) {
    group_of_column_ = std::move(group_of_column);
    frozen_ = true;
  }

  // Copies the grids, (rows, groups).
  void Store(AffineCodes& matrix) const;

 private:
  size_t Index(int64_t column, int64_t row) const {
    return static_cast<size_t>(group_of_column_[static_cast<size_t>(column)] * padded_rows_ + row);
  }

  GridOptions options_;
  int64_t rows_, padded_rows_, groups_;
  std::vector<int32_t> group_of_column_;
  std::vector<T> column_weight_;
  std::vector<T> scale_, zero_;  // (groups, padded rows): the rows of a strip lie side by side
  T max_code_;
  bool frozen_ = false;
};

}  // namespace lowbit
