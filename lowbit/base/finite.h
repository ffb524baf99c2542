// A test for NaN and infinity that costs little beside whatever made the values.
#pragma once

#include <span>

namespace lowbit {

inline bool AllFinite(std::span<const float> values) {
  // x - x is zero for finite x and NaN otherwise; eight sums, because one would wait for itself.
  constexpr size_t kSums = 8;
  float sum[kSums] = {};
  size_t i = 0;
  for (; i + kSums <= values.size(); i += kSums) {
    for (size_t k = 0; k < kSums; ++k) sum[k] += values[i + k] - values[i + k];
  }
  for (; i < values.size(); ++i) sum[0] += values[i] - values[i];
  float total = 0;
  for (const float s : sum) total += s;
  return total == 0;
}

}  // namespace lowbit
