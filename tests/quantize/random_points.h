// Points for codebook tests, made from integers alone.
#pragma once

#include <cstdint>
#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/base/random.h"

namespace lowbit {

// Normal entries, (n, d).
inline std::vector<float> NormalPoints(int64_t n, int64_t d, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<size_t>(n * d));
  for (float& v : x) v = random.Normal();
  return x;
}

// n points around `centres` centres that lie ten standard deviations apart; point i belongs to centre i %
// centres.
inline std::vector<float> ClusteredPoints(int64_t n, int64_t d, int64_t centres, uint64_t seed) {
  const std::vector<float> centre = NormalPoints(centres, d, seed + 1);
  std::vector<float> x = NormalPoints(n, d, seed);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t c = 0; c < d; ++c)
      x[static_cast<size_t>(i * d + c)] += 20 * centre[static_cast<size_t>(i % centres * d + c)];
  }
  return x;
}

inline MatrixView<const float> Points(const std::vector<float>& x, int64_t d) {
  return {x.data(), static_cast<int64_t>(x.size()) / d, d};
}

// Squared error a point.
inline double MeanSquaredError(const std::vector<float>& a, const std::vector<float>& b, int64_t d) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return sum / (static_cast<double>(a.size()) / static_cast<double>(d));
}

}  // namespace lowbit
