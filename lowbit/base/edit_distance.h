// The nearest of several names, for messages that suggest what was meant.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lowbit {

// Insertions, deletions and replacements that turn `a` into `b` (Levenshtein).
inline size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t change = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({change, row[j] + 1, row[j + 1] + 1});
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
