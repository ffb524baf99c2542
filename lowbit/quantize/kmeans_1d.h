// Exact k-means on the line: the levels that minimise sum_i w_i min_j (x_i - c_j)^2, found by dynamic
// programming. Scalar codebooks, and the oracle for the iterative k-means.
//
// Optimal clusters of sorted values are intervals; D(i, j), the least error of the first i values in j
// intervals, is
//   D(i, j) = min_m D(m, j-1) + cost(m, i),   cost from prefix sums of w, w x and w x^2 about the mean,
// and the best m grows with i, so that each j takes O(n log n) by halving (Wang and Song 2011, Groenlund et
// al. 2017). Equal values are merged first.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lowbit {

struct ScalarClusters {
  std::vector<float> levels;      // ascending; fewer than k when there are fewer distinct values
  std::vector<float> thresholds;  // the midpoints between neighbours: levels.size() - 1
  double error = 0;               // sum_i w_i (x_i - level)^2
};

// `weights` holds one non-negative value for each of `values`, or is empty (all one). Throws lowbit::Error
// for k < 1, no values of positive weight, and values that are not finite. Memory is 4 bytes times k times
// the number of distinct values.
ScalarClusters KMeans1D(std::span<const float> values, int64_t k, std::span<const float> weights = {});

}  // namespace lowbit
