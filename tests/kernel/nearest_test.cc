#include "lowbit/kernel/nearest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

std::vector<float> Draw(int64_t n, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = random.Normal();
  return x;
}

// Small integers: every product and sum is exact, so every target must give the very same indices.
std::vector<float> DrawIntegers(int64_t n, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = static_cast<float>(static_cast<int>(random.Below(5)) - 2);
  return x;
}

class Nearest : public testing::Test {
 protected:
  ~Nearest() override { SetTarget(before_); }
  const Target before_ = CurrentTarget();
};

TEST_F(Nearest, ExactTiesGoToTheLowestIndexOnEveryTarget) {
  for (const Target target : SupportedTargets()) {
    SetTarget(target);
    for (const int64_t width : {1, 2, 3, 4, 5, 8, 16, 31}) {
      for (const int64_t k : {1, 3, 4, 9, 64}) {
        const int64_t n = 101;
        const std::vector<float> x = DrawIntegers(n * width, 1), c = DrawIntegers(k * width, 2);
        const MatrixView<const float> points(x.data(), n, width), centroids(c.data(), k, width);
        const std::vector<float> norms = HalfSquaredNorms(centroids);
        for (const int64_t count : {int64_t{1}, std::min<int64_t>(k, 5), k}) {
          std::vector<uint32_t> index(static_cast<size_t>(n * count));
          std::vector<float> score(index.size());
          NearestCentroids(points, centroids, norms.data(), count, index.data(), score.data());
          for (int64_t p = 0; p < n; ++p) {
            std::vector<double> distance(static_cast<size_t>(k));
            double own = 0;
            for (int64_t i = 0; i < width; ++i) own += points(p, i) * points(p, i);
            for (int64_t j = 0; j < k; ++j) {
              for (int64_t i = 0; i < width; ++i) distance[j] += std::pow(points(p, i) - centroids(j, i), 2);
            }
            std::vector<uint32_t> order(static_cast<size_t>(k));
            std::iota(order.begin(), order.end(), 0);
            std::stable_sort(order.begin(), order.end(),
                             [&](auto a, auto b) { return distance[a] < distance[b]; });
            for (int64_t i = 0; i < count; ++i) {
              ASSERT_EQ(index[p * count + i], order[i]) << NameOf(target) << " width " << width << " k " << k;
              ASSERT_EQ(own + 2 * score[p * count + i], distance[order[i]]);
            }
          }
        }
      }
    }
  }
}

TEST_F(Nearest, FindsTheMinimumOfRealNumbers) {
  const int64_t n = 77, width = 100, k = 130;
  const std::vector<float> x = Draw(n * width, 3), c = Draw(k * width, 4);
  const MatrixView<const float> points(x.data(), n, width), centroids(c.data(), k, width);
  const std::vector<float> norms = HalfSquaredNorms(centroids);
  for (const Target target : SupportedTargets()) {
    SetTarget(target);
    std::vector<uint32_t> index(n);
    NearestCentroids(points, centroids, norms.data(), 1, index.data(), nullptr);
    for (int64_t p = 0; p < n; ++p) {
      std::vector<double> distance(static_cast<size_t>(k));
      for (int64_t j = 0; j < k; ++j) {
        for (int64_t i = 0; i < width; ++i)
          distance[j] += std::pow(double{points(p, i)} - centroids(j, i), 2);
      }
      ASSERT_NEAR(distance[index[p]], *std::min_element(distance.begin(), distance.end()), 1e-3);
    }
  }
}

TEST_F(Nearest, DoesNotDependOnBatchPositionOrThreads) {
  const int64_t n = 500, width = 12, k = 97, stride = 17;
  const std::vector<float> x = Draw(n * stride, 5), c = Draw(k * width, 6);
  const MatrixView<const float> points(x.data() + 3, n, width, stride), centroids(c.data(), k, width);
  const std::vector<float> norms = HalfSquaredNorms(centroids);
  for (const int64_t count : {1, 4}) {
    std::vector<uint32_t> one(static_cast<size_t>(n * count)), many(one.size());
    std::vector<float> one_score(one.size()), many_score(one.size());
    ThreadPool single(1), seven(7);
    NearestCentroids(points, centroids, norms.data(), count, many.data(), many_score.data(), seven);
    for (int64_t p = 0; p < n; ++p) {
      NearestCentroids(points.Block(p, 0, 1, width), centroids, norms.data(), count, one.data() + p * count,
                       one_score.data() + p * count, single);
    }
    EXPECT_EQ(one, many);
    EXPECT_EQ(one_score, many_score);
  }
}

TEST_F(Nearest, RefusesWhatDoesNotFit) {
  const float x[6] = {}, norms[3] = {};
  uint32_t index[4];
  EXPECT_THROW(NearestCentroids({x, 2, 2}, {x, 2, 3}, norms, 1, index, nullptr), Error);
  EXPECT_THROW(NearestCentroids({x, 2, 2}, {x, 3, 2}, norms, 4, index, nullptr), Error);
  EXPECT_THROW(NearestCentroids({x, 2, 2}, {x, 3, 2}, norms, 0, index, nullptr), Error);
}

}  // namespace
}  // namespace lowbit
