// k-means: k centroids that minimise the weighted mean squared error
//   D = sum_i w_i min_j |x_i - c_j|^2 / sum_i w_i          x_i (d), c_j (d).
//
// Lloyd's iteration (assign, then move each centroid to the weighted mean of its points) from a k-means++
// start (Arthur and Vassilvitskii 2007: each centroid is drawn with probability proportional to w_i D_i, D_i
// the squared distance to those already drawn), or mini-batches (Sculley 2010: a centroid moves towards the
// mean of its points in a batch by the share of that batch in all it has seen). Points stream by in blocks;
// memory is k centroids and one block, and a bounded sample for the start.
//
// A centroid without points is moved to the point farthest from its centroid in the cluster of the largest
// error, which can only lower D. Equal seeds give equal bytes on any number of threads: draws are integers,
// sums are taken over a cluster's points in their order.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "lowbit/base/matrix.h"
#include "lowbit/base/thread_pool.h"
#include "lowbit/quantize/point_source.h"

namespace lowbit {

enum class Seeding : uint8_t {
  kPlusPlus,  // k-means++ on a sample of at most 32 k (at least 4096) points
  kRandom,    // k points of the source, one from each of k equal stretches
};

struct KMeansOptions {
  int64_t iterations = 25;
  // Ends when D falls by less than this share of itself from one iteration to the next.
  double tolerance = 1e-4;
  Seeding seeding = Seeding::kPlusPlus;
  uint64_t seed = 1;
  // Trains on a sample of this many points for each centroid; 0: on all points, block by block.
  int64_t points_per_centroid = 256;
  // 0: every iteration sees all points. Otherwise each sees about this many consecutive ones (at least k).
  int64_t batch = 0;
  // Centroid 0 is the origin and stays there: a residual codebook that holds it never makes a point worse.
  enum class Origin : uint8_t { kFree, kKept } origin = Origin::kFree;
  // Called before each pass over the points or a batch, with its number from 0: for a line of progress. There
  // are at most iterations + 1.
  std::function<void(int64_t pass)> watch;
};

struct KMeansReport {
  // D before each update and, last, that of the centroids returned. In mini-batch training all but the last
  // are of the batch.
  std::vector<double> distortion;
  int64_t points = 0;    // trained on
  int64_t restarts = 0;  // centroids without points that were moved
  bool converged = false;
};

class KMeans {
 public:
  // Throws lowbit::Error when there are fewer points than centroids, no positive weight, or values that are
  // not finite.
  static KMeans Train(const PointSource& source, int64_t k, const KMeansOptions& options = {},
                      ThreadPool& pool = ThreadPool::Global());

  int64_t size() const { return size_; }
  int64_t dimension() const { return dimension_; }
  // (k, d)
  MatrixView<const float> centroids() const { return {centroids_.data(), size_, dimension_}; }
  const KMeansReport& report() const { return report_; }

  // The nearest centroid of each point, of equally near ones the lowest (kernel/nearest.h).
  void Assign(MatrixView<const float> points, uint32_t* index, ThreadPool& pool = ThreadPool::Global()) const;

 private:
  int64_t size_ = 0, dimension_ = 0;
  std::vector<float> centroids_, half_norms_;
  KMeansReport report_;
};

}  // namespace lowbit
