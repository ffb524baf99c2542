#include "lowbit/quantize/kmeans.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/quantize/kmeans_1d.h"
#include "tests/quantize/random_points.h"

namespace lowbit {
namespace {

double PlainDistortion(MatrixView<const float> points, const float* weights,
                       MatrixView<const float> centroids) {
  double error = 0, total = 0;
  for (int64_t p = 0; p < points.rows; ++p) {
    double best = std::numeric_limits<double>::infinity();
    for (int64_t j = 0; j < centroids.rows; ++j) {
      double distance = 0;
      for (int64_t c = 0; c < points.cols; ++c)
        distance += std::pow(double{points(p, c)} - centroids(j, c), 2);
      best = std::min(best, distance);
    }
    const double w = weights == nullptr ? 1.0 : weights[p];
    error += w * best;
    total += w;
  }
  return error / total;
}

// Least distortion over all partitions of n <= 10 points into k clusters.
double BestPartition(MatrixView<const float> points, const float* weights, int64_t k) {
  int64_t partitions = 1;
  for (int64_t p = 0; p < points.rows; ++p) partitions *= k;
  double best = std::numeric_limits<double>::infinity();
  for (int64_t partition = 0; partition < partitions; ++partition) {
    std::vector<double> mean(static_cast<size_t>(k * points.cols)), weight(static_cast<size_t>(k));
    double total = 0, error = 0;
    const auto each = [&](auto f) {
      int64_t rest = partition;
      for (int64_t p = 0; p < points.rows; ++p, rest /= k)
        f(p, rest % k, weights == nullptr ? 1.0 : weights[p]);
    };
    each([&](int64_t p, int64_t j, double w) {
      weight[j] += w;
      total += w;
      for (int64_t c = 0; c < points.cols; ++c) mean[j * points.cols + c] += w * points(p, c);
    });
    each([&](int64_t p, int64_t j, double w) {
      for (int64_t c = 0; c < points.cols; ++c)
        error += w * std::pow(points(p, c) - mean[j * points.cols + c] / weight[j], 2);
    });
    best = std::min(best, error / total);
  }
  return best;
}

TEST(KMeans, DistortionFallsAndIsThatOfTheCentroidsReturned) {
  const std::vector<float> x = NormalPoints(3000, 12, 1), w = [] {
    std::vector<float> weights = NormalPoints(3000, 1, 2);
    for (float& v : weights) v *= v;
    return weights;
  }();
  const MatrixSource source(Points(x, 12), w.data());
  KMeansOptions options;
  options.tolerance = 0;
  const KMeans kmeans = KMeans::Train(source, 40, options);
  const std::vector<double>& d = kmeans.report().distortion;
  ASSERT_GE(d.size(), 5u);
  for (size_t i = 1; i < d.size(); ++i) EXPECT_LE(d[i], d[i - 1] * (1 + 1e-6));
  EXPECT_NEAR(d.back(), PlainDistortion(Points(x, 12), w.data(), kmeans.centroids()), 1e-5 * d.back());
}

TEST(KMeans, ReachesTheBestPartitionOfAFewPoints) {
  for (uint64_t seed = 0; seed < 6; ++seed) {
    const std::vector<float> x = NormalPoints(9, 2, seed);
    const float w[9] = {1, 2, 3, 1, 5, 1, 0.5f, 1, 2};
    const MatrixSource source(Points(x, 2), w);
    double best = std::numeric_limits<double>::infinity();
    KMeansOptions options;
    for (options.seed = 0; options.seed < 30; ++options.seed)
      best = std::min(best, KMeans::Train(source, 3, options).report().distortion.back());
    const double optimum = BestPartition(Points(x, 2), w, 3);
    EXPECT_GE(best, optimum * (1 - 1e-5));
    EXPECT_NEAR(best, optimum, 1e-5 * optimum) << "seed " << seed;
  }
}

TEST(KMeans, FindsSeparatedClusters) {
  const std::vector<float> x = ClusteredPoints(2000, 8, 20, 3);
  int found = 0;  // a start that draws two points of one cluster may miss another
  for (uint64_t seed = 0; seed < 5; ++seed) {
    KMeansOptions options;
    options.seed = seed;
    const KMeans kmeans = KMeans::Train(MatrixSource(Points(x, 8)), 20, options);
    if (kmeans.report().distortion.back() > 9.0) continue;  // 8 channels of variance 1
    ++found;
    std::vector<uint32_t> index(2000);
    kmeans.Assign(Points(x, 8), index.data());
    for (size_t i = 20; i < index.size(); ++i) ASSERT_EQ(index[i], index[i % 20]);
  }
  EXPECT_GE(found, 2);
}

TEST(KMeans, EqualSeedsGiveEqualBytesOnAnyNumberOfThreads) {
  const std::vector<float> x = NormalPoints(20000, 6, 4);
  for (const int64_t batch : {0, 2000}) {
    std::vector<std::vector<float>> results;
    for (const int threads : {1, 2, 7}) {
      ThreadPool pool(threads);
      KMeansOptions options;
      options.iterations = 8;
      options.batch = batch;
      const KMeans kmeans = KMeans::Train(MatrixSource(Points(x, 6)), 50, options, pool);
      const float* c = kmeans.centroids().data;
      results.emplace_back(c, c + 300);
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
    KMeansOptions other;
    other.seed = 2;
    const KMeans kmeans = KMeans::Train(MatrixSource(Points(x, 6)), 50, other);
    EXPECT_NE(results[0], std::vector<float>(kmeans.centroids().data, kmeans.centroids().data + 300));
  }
}

TEST(KMeans, DeadCentroidsRestart) {
  // Random seeding takes duplicates: nine tenths of the points are one point.
  std::vector<float> x(1000 * 3, 0.5f);
  const std::vector<float> other = NormalPoints(100, 3, 5);
  for (size_t i = 0; i < 100; ++i) std::copy_n(&other[i * 3], 3, &x[i * 30]);
  KMeansOptions options;
  options.seeding = Seeding::kRandom;
  options.tolerance = 0;
  options.iterations = 100;
  const KMeans kmeans = KMeans::Train(MatrixSource(Points(x, 3)), 101, options);
  EXPECT_GT(kmeans.report().restarts, 0);
  const std::vector<double>& d = kmeans.report().distortion;
  for (size_t i = 1; i < d.size(); ++i) EXPECT_LE(d[i], d[i - 1] * (1 + 1e-6));
  EXPECT_EQ(d.back(), 0.0);  // as many centroids as distinct points
}

TEST(KMeans, KPlusPlusFindsEveryDistinctPoint) {
  std::vector<float> x = NormalPoints(64, 5, 6);
  for (int i = 0; i < 4; ++i) x.insert(x.end(), x.begin(), x.begin() + 64 * 5);
  KMeansOptions options;
  options.iterations = 0;
  EXPECT_EQ(KMeans::Train(MatrixSource(Points(x, 5)), 64, options).report().distortion.back(), 0.0);
}

TEST(KMeans, WeightsMatterByTheirRatios) {
  const std::vector<float> x = NormalPoints(500, 4, 7);
  std::vector<float> w(500, 1.0f), w8(500, 8.0f);
  const KMeans plain = KMeans::Train(MatrixSource(Points(x, 4)), 10);
  for (const auto& weights : {w, w8}) {
    const KMeans kmeans = KMeans::Train(MatrixSource(Points(x, 4), weights.data()), 10);
    EXPECT_TRUE(std::equal(plain.centroids().data, plain.centroids().data + 40, kmeans.centroids().data));
  }
  // One heavy point is kept (almost) exactly.
  w[123] = 1e8f;
  const KMeans heavy = KMeans::Train(MatrixSource(Points(x, 4), w.data()), 10);
  EXPECT_LT(PlainDistortion(Points(x, 4).Block(123, 0, 1, 4), nullptr, heavy.centroids()), 1e-4);
  // One centroid is the weighted mean.
  KMeansOptions all;
  all.points_per_centroid = 0;
  const KMeans one = KMeans::Train(MatrixSource(Points(x, 4), w.data()), 1, all);
  for (int64_t c = 0; c < 4; ++c) {
    double sum = 0, total = 0;
    for (int64_t p = 0; p < 500; ++p) {
      sum += double{w[p]} * x[p * 4 + c];
      total += w[p];
    }
    EXPECT_NEAR(one.centroids()(0, c), sum / total, 1e-6);
  }
}

TEST(KMeans, MiniBatchesComeNearLloyd) {
  const std::vector<float> x = ClusteredPoints(40000, 4, 16, 8);
  KMeansOptions options;
  options.points_per_centroid = 0;
  const double full = KMeans::Train(MatrixSource(Points(x, 4)), 32, options).report().distortion.back();
  options.batch = 2000;
  options.iterations = 60;
  const KMeans streamed = KMeans::Train(MatrixSource(Points(x, 4)), 32, options);
  EXPECT_LT(streamed.report().distortion.back(), 1.1 * full);
  EXPECT_EQ(streamed.report().distortion.size(), 61u);
}

TEST(KMeans, AKeptOriginStays) {
  const std::vector<float> x = NormalPoints(2000, 3, 9);
  KMeansOptions options;
  options.origin = KMeansOptions::Origin::kKept;
  for (const Seeding seeding : {Seeding::kPlusPlus, Seeding::kRandom}) {
    options.seeding = seeding;
    const KMeans kmeans = KMeans::Train(MatrixSource(Points(x, 3)), 16, options);
    for (int c = 0; c < 3; ++c) EXPECT_EQ(kmeans.centroids()(0, c), 0.0f);
    EXPECT_LT(kmeans.report().distortion.back(), 0.7);
  }
}

TEST(KMeans, RefusesBadInput) {
  std::vector<float> x = NormalPoints(20, 3, 10);
  const MatrixSource source(Points(x, 3));
  EXPECT_THROW(KMeans::Train(source, 21), Error);
  EXPECT_THROW(KMeans::Train(source, 0), Error);
  KMeansOptions options;
  options.batch = 4;
  EXPECT_THROW(KMeans::Train(source, 5, options), Error);
  const std::vector<float> none(20, 0.0f);
  EXPECT_THROW(KMeans::Train(MatrixSource(Points(x, 3), none.data()), 5), Error);
  x[40] = std::numeric_limits<float>::quiet_NaN();
  try {
    KMeans::Train(source, 5);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("point 13"), std::string::npos) << error.what();
  }
}

TEST(PointSample, TakesOnePointFromEachStretch) {
  std::vector<float> x(100000);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  const PointSample sample(MatrixSource(Points(x, 1)), 1000, 3);
  PointScratch scratch;
  const PointBlock block = sample.source().Read(0, 1000, scratch);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(static_cast<int>(block.points(i, 0)) / 100, i);
  const PointSample other(MatrixSource(Points(x, 1)), 1000, 4);
  EXPECT_FALSE(std::equal(block.points.data, block.points.data + 1000,
                          other.source().Read(0, 1000, scratch).points.data));
}

TEST(KMeans1D, IsOptimal) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<float> x = NormalPoints(8, 1, seed);
    std::vector<float> w = NormalPoints(8, 1, seed + 100);
    for (float& v : w) v = v * v + 0.01f;
    for (int64_t k = 1; k <= 4; ++k) {
      const ScalarClusters clusters = KMeans1D(x, k, w);
      double total = 0;
      for (const float v : w) total += v;
      const double best = BestPartition(Points(x, 1), w.data(), k) * total;
      EXPECT_NEAR(clusters.error, best, 1e-5 * best + 1e-9);
      const MatrixView<const float> levels(clusters.levels.data(), k, 1);
      EXPECT_NEAR(PlainDistortion(Points(x, 1), w.data(), levels) * total, best, 1e-5 * best + 1e-9);
    }
  }
}

TEST(KMeans1D, IsNeverWorseThanLloydAndMergesEqualValues) {
  std::vector<float> x = NormalPoints(5000, 1, 11);
  for (float& v : x) v = std::round(v * 64) / 64 + 1000;  // far from zero: the prefix sums must not cancel
  const ScalarClusters exact = KMeans1D(x, 16);
  ASSERT_EQ(exact.levels.size(), 16u);
  ASSERT_EQ(exact.thresholds.size(), 15u);
  EXPECT_TRUE(std::is_sorted(exact.levels.begin(), exact.levels.end()));
  for (uint64_t seed = 0; seed < 5; ++seed) {
    KMeansOptions options;
    options.seed = seed;
    options.points_per_centroid = 0;
    EXPECT_GE(KMeans::Train(MatrixSource(Points(x, 1)), 16, options).report().distortion.back() * 5000,
              exact.error * (1 - 1e-3));
  }
  const std::vector<float> few = {3, 1, 3, 2, 1};
  EXPECT_EQ(KMeans1D(few, 7).levels, (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(KMeans1D(few, 7).error, 0.0);
  EXPECT_THROW(KMeans1D({}, 2), Error);
  EXPECT_THROW(KMeans1D(few, 0), Error);
}

}  // namespace
}  // namespace lowbit
