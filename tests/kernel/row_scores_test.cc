#include "lowbit/kernel/row_scores.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lowbit/kernel/targets.h"
#include "tests/kernel/random_matrix.h"

namespace lowbit {
namespace {

TEST(RowScores, AreThoseOfThePlainSums) {
  const Target before = CurrentTarget();
  for (const Target target : SupportedTargets()) {
    SetTarget(target);
    for (const int64_t dim : {1, 15, 16, 25, 128}) {
      for (const int64_t n : {1, 4, 7}) {
        for (const int64_t count : {1, 4, 6}) {
          const std::vector<float> q = RandomFloats(count * dim, 1), x = RandomFloats(n * dim, 2);
          for (const ScoreKind kind : {ScoreKind::kNegativeProduct, ScoreKind::kSquaredDistance}) {
            std::vector<float> scores(static_cast<size_t>(count * n));
            ScoreRows(kind, q.data(), count, x.data(), n, dim, scores.data());
            for (int64_t r = 0; r < count; ++r) {
              for (int64_t i = 0; i < n; ++i) {
                double sum = 0, size = 0;
                for (int64_t j = 0; j < dim; ++j) {
                  const double a = q[static_cast<size_t>(r * dim + j)],
                               b = x[static_cast<size_t>(i * dim + j)];
                  const double term = kind == ScoreKind::kNegativeProduct ? -a * b : (a - b) * (a - b);
                  sum += term, size += std::abs(term);
                }
                EXPECT_NEAR(scores[static_cast<size_t>(r * n + i)], sum, 1e-6 * size + 1e-12)
                    << NameOf(target) << ' ' << dim;
              }
            }
          }
        }
      }
    }
  }
  SetTarget(before);
}

// What makes results independent of threads: a pair's score has the same bits in every batch.
TEST(RowScores, DoNotDependOnTheBatch) {
  constexpr int64_t kDim = 37, kCount = 7, kRows = 9;
  const std::vector<float> q = RandomFloats(kCount * kDim, 3), x = RandomFloats(kRows * kDim, 4);
  std::vector<float> all(kCount * kRows);
  ScoreRows(ScoreKind::kSquaredDistance, q.data(), kCount, x.data(), kRows, kDim, all.data());
  for (int64_t r = 0; r < kCount; ++r) {
    for (int64_t i = 0; i < kRows; ++i) {
      float one;
      ScoreRows(ScoreKind::kSquaredDistance, &q[static_cast<size_t>(r * kDim)], 1,
                &x[static_cast<size_t>(i * kDim)], 1, kDim, &one);
      EXPECT_EQ(one, all[static_cast<size_t>(r * kRows + i)]);
    }
  }
}

TEST(RowScores, SelectsWhatIsWithinTheThreshold) {
  const Target before = CurrentTarget();
  for (const Target target : SupportedTargets()) {
    SetTarget(target);
    for (const int64_t n : {0, 1, 16, 33, 200}) {
      const std::vector<float> scores = RandomFloats(n, 5);
      for (const float threshold : {-10.0f, -1.5f, 0.0f, n > 0 ? scores[0] : 1.0f, INFINITY}) {
        std::vector<int32_t> index(static_cast<size_t>(n)), expected;
        index.resize(static_cast<size_t>(SelectAtMost(scores.data(), n, threshold, index.data())));
        for (int32_t i = 0; i < n; ++i) {
          if (scores[static_cast<size_t>(i)] <= threshold) expected.push_back(i);
        }
        EXPECT_EQ(index, expected) << NameOf(target) << ' ' << n << ' ' << threshold;
      }
    }
  }
  SetTarget(before);
}

TEST(RowScores, FindsALimitOfTheSmallest) {
  const Target before = CurrentTarget();
  for (const Target target : SupportedTargets()) {
    SetTarget(target);
    for (const int64_t n : {1, 2, 17, 300, 700}) {
      std::vector<float> values = RandomFloats(n, 6), sorted;
      for (size_t i = 0; i < values.size(); i += 3) values[i] = values[0];  // ties
      if (n > 10) values[5] = INFINITY, values[7] = -INFINITY, values[8] = 0, values[10] = 3e38f;
      sorted = values;
      std::sort(sorted.begin(), sorted.end());
      for (int64_t k = 1; k <= n; ++k) {
        for (const int64_t slack : {0, 3, 40}) {
          const float kth = sorted[static_cast<size_t>(k - 1)];
          float limit = 0;
          const int64_t within = LimitOfSmallest(values.data(), n, k, slack, &limit);
          EXPECT_EQ(within, std::upper_bound(sorted.begin(), sorted.end(), limit) - sorted.begin());
          EXPECT_GE(limit, kth) << n << ' ' << k;
          if (within > k + slack) {
            EXPECT_EQ(limit, kth) << n << ' ' << k << ' ' << slack;
          }
        }
      }
    }
  }
  SetTarget(before);
}

}  // namespace
}  // namespace lowbit
