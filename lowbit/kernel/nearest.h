// The nearest of k centroids, for many points: the inner loop of k-means and of every codebook search.
//
//   s_j(x) = |c_j|^2 / 2 - x . c_j          |x - c_j|^2 = |x|^2 + 2 s_j(x)
// The kernel ranks by the score s. A score is |c_j|^2 / 2 minus one product after the other in the order of
// the channels, whatever tile, batch or thread the point falls into: equal points have equal results to the
// last bit, equal centroids equal scores, and of equal scores the lowest index wins.
//
// Points lie across the SIMD lanes (a tile is transposed once), centroids are broadcast from their own rows,
// so that nothing is summed across lanes and the search for the minimum costs three operations a vector; the
// same loop serves product sub-spaces of two channels and whole vectors of a thousand.
//
// Scores are f32: where points lie far from the origin and near each other, subtract their mean from points
// and centroids first, or |c_j|^2 / 2 swallows the difference.
#pragma once

#include <cstdint>
#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"

namespace lowbit {

// |c_j|^2 / 2 of each row, summed in double.
std::vector<float> HalfSquaredNorms(MatrixView<const float> centroids);

// The `count` nearest centroids of each point, nearest first. points (n, width), centroids (k, width),
// half_norms (k) as above; index (n, count), score (n, count) or null. 1 <= count <= k. Finite values are the
// caller's duty (CheckFinite); sizes that do not fit together throw lowbit::Error.
void NearestCentroids(MatrixView<const float> points, MatrixView<const float> centroids,
                      const float* half_norms, int64_t count, uint32_t* index, float* score,
                      ThreadPool& pool = ThreadPool::Global());

}  // namespace lowbit
