// The other inner loops of k-means, beside the search for the nearest centroid: sums over the members of a
// cluster, and distances to one centroid. Distances are sums of squared differences, exact zeros included.
#pragma once

#include <cstdint>
#include <span>

#include "lowbit/base/matrix.h"

namespace lowbit {

// distance[p] = min(distance[p], |x_p - c|^2) for points (n, width).
void LowerSquaredDistances(MatrixView<const float> points, const float* centroid, float* distance);

// For the points named by `members`, in their order: sum += weight[p] x_p (width, in double) and
// distance[i] = |x_p - c|^2, i counting the members. `weights` has one value a point, null means all one.
void AddMembers(MatrixView<const float> points, std::span<const int32_t> members, const float* weights,
                const float* centroid, double* sum, float* distance);

}  // namespace lowbit
