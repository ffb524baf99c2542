// The nearest of several names, for messages that suggest what was meant.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lowbit {

// Insertions, deletions, replacements and swaps of neighbours, each character in one of them at most, that
// turn `a` into `b` (optimal string alignment).
inline size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1), last(row.size()), before(row.size());
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, last), std::swap(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({change, row[j - 1] + 1, last[j] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

// The first of the nearest. `names` must not be empty.
inline const std::string& NearestName(std::span<const std::string> names, std::string_view text) {
  const std::string* best = &names[0];
  size_t least = EditDistance(*best, text);
  for (const std::string& name : names) {
    const size_t apart = name.size() > text.size() ? name.size() - text.size() : text.size() - name.size();
    if (apart >= least) continue;  // at least as many insertions
    const size_t distance = EditDistance(name, text);
    if (distance < least) {
      least = distance;
      best = &name;
    }
  }
  return *best;
}

}  // namespace lowbit
