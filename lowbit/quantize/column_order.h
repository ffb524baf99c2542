// In which order a sweep quantizes the columns of a layer, and which columns share a grid.
//
// diag(H) says how much a column matters; what is quantized first has the most columns left to repair it.
//   kNone          natural order
//   kActivation    diag(H) descending; groups are runs of *sorted* columns, so g_idx is irregular
//   ("desc_act") kStaticGroups  the same order; groups are runs of original columns, fitted beforehand on the
//   original weights kGroupAware    columns sorted within their original group, groups sorted by their
//   largest column; grids are fitted
//                  on live weights and g_idx stays trivial
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lowbit {

enum class ColumnOrder { kNone, kActivation, kStaticGroups, kGroupAware };

struct Schedule {
  std::vector<int32_t> order;            // sweep position -> column
  std::vector<int32_t> group_of_column;  // sweep position -> group
  std::vector<int64_t> group_begin;  // sweep position at which each group starts, ascending; {0} when static
};

// First column of each run of `group` columns.
std::vector<int64_t> GroupRuns(int64_t columns, int64_t group);

// `importance` (C) is diag(H); ties keep the natural order.
Schedule MakeSchedule(ColumnOrder kind, std::span<const double> importance, int64_t group);

}  // namespace lowbit
