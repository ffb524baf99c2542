#include "lowbit/quantize/column_order.h"

#include <algorithm>
#include <numeric>

namespace lowbit {

std::vector<int64_t> GroupRuns(int64_t columns, int64_t group) {
  std::vector<int64_t> begin;
  for (int64_t c = 0; c < columns; c += group) begin.push_back(c);
  return begin;
}

Schedule MakeSchedule(ColumnOrder kind, std::span<const double> importance, int64_t group) {
  const int64_t columns = static_cast<int64_t>(importance.size());
  Schedule s{std::vector<int32_t>(importance.size()), std::vector<int32_t>(importance.size()),
             GroupRuns(columns, group)};
  std::iota(s.order.begin(), s.order.end(), 0);
  const auto more_important = [&](int32_t a, int32_t b) {
    return importance[static_cast<size_t>(a)] > importance[static_cast<size_t>(b)];
  };
  switch (kind) {
    case ColumnOrder::kNone:
      break;
    case ColumnOrder::kActivation:
      std::stable_sort(s.order.begin(), s.order.end(), more_important);
      for (size_t i = 0; i < s.order.size(); ++i)
        s.group_of_column[i] = static_cast<int32_t>(i / static_cast<size_t>(group));
      return s;
    case ColumnOrder::kStaticGroups:
      std::stable_sort(s.order.begin(), s.order.end(), more_important);
      s.group_begin = {0};  // nothing is fitted on the way
      break;
    case ColumnOrder::kGroupAware: {
      std::vector<std::vector<int32_t>> groups;
      for (const int64_t begin : s.group_begin) {
        groups.emplace_back(s.order.begin() + begin, s.order.begin() + std::min(columns, begin + group));
        std::stable_sort(groups.back().begin(), groups.back().end(), more_important);
      }
      std::stable_sort(groups.begin(), groups.end(),
                       [&](const auto& a, const auto& b) { return more_important(a[0], b[0]); });
      int64_t at = 0;
      for (size_t g = 0; g < groups.size(); ++g) {
        s.group_begin[g] = at;
        for (const int32_t column : groups[g]) s.order[static_cast<size_t>(at++)] = column;
      }
      break;
    }
  }
  for (size_t i = 0; i < s.order.size(); ++i) s.group_of_column[i] = s.order[i] / static_cast<int32_t>(group);
  return s;
}

}  // namespace lowbit
