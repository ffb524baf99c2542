#include "lowbit/quantize/column_sweep.h"

namespace lowbit::sweep {

// A panel's own updates run at the depth of one block, those between panels at full depth: wide panels mean
// fewer deep products, narrow ones less shallow work. 512 is flat around the optimum for 1024 to 8192
// columns.
constexpr int64_t kPanel = 512;

std::vector<Panel> PlanPanels(int64_t columns, std::span<const int64_t> group_begin, int64_t block) {
  if (block < 1) FailUsage("block = {}: must be at least 1", block);
  if (columns == 0) return {};
  if (group_begin.empty() || group_begin[0] != 0)
    Fail("column sweep: the first group must begin at column 0");
  for (size_t g = 1; g < group_begin.size(); ++g) {
    if (group_begin[g] <= group_begin[g - 1] || group_begin[g] >= columns) {
      Fail("column sweep: group {} begins at column {} after {}, of {} columns", g, group_begin[g],
           group_begin[g - 1], columns);
    }
  }
  const auto end_of = [&](size_t g) { return g + 1 < group_begin.size() ? group_begin[g + 1] : columns; };

  std::vector<Panel> panels;
  size_t group = 0;  // next group to start
  for (int64_t begin = 0; begin < columns;) {
    Panel panel{begin, begin, {}};
    // Blocks are cut one after another; the panel closes once it is wide enough and no started group (but
    // group 0) reaches past it.
    int64_t open_until = begin;  // end of the last group started, group 0 aside
    do {
      Block b{panel.end, std::min(columns, panel.end + block), group, 0};
      while (group < group_begin.size() && group_begin[group] < b.end) {
        const int64_t start = group_begin[group], end = end_of(group);
        if (end > b.end && start > b.begin &&
            group > 0) {  // would start inside and reach past: cut before it
          b.end = start;
          break;
        }
        if (group > 0) open_until = std::max(open_until, end);
        ++group;
        ++b.groups;
      }
      panel.end = b.end;
      panel.blocks.push_back(b);
    } while (panel.end < columns && (panel.end - panel.begin < kPanel || open_until > panel.end));
    begin = panel.end;
    panels.push_back(std::move(panel));
  }
  return panels;
}

int64_t TileRows(int64_t rows) {
  return std::clamp<int64_t>((rows / 16 + kLanes - 1) / kLanes * kLanes, kLanes, 256);
}

}  // namespace lowbit::sweep
