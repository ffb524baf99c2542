#include "lowbit/kernel/hadamard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

const std::vector<int64_t> kLengths = {1,  2,  4,   8,   12,  16,  20,  24,  32,  40,   48,  64,
                                       80, 96, 128, 160, 192, 256, 320, 384, 768, 1024, 1536};

std::vector<float> Draw(int64_t n, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = random.Normal();
  return x;
}

TEST(Hadamard, RowsAreOrthogonalAndOfOnes) {
  for (const int64_t n : {4, 12, 20, 24, 32, 96, 160}) {
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j <= i; ++j) {
        int64_t dot = 0;
        for (int64_t c = 0; c < n; ++c) dot += HadamardEntry(n, i, c) * HadamardEntry(n, j, c);
        ASSERT_EQ(dot, i == j ? n : 0) << n << ' ' << i << ' ' << j;
      }
    }
  }
}

TEST(Hadamard, EqualsItsDefinition) {
  for (const int64_t n : kLengths) {
    std::vector<float> x = Draw(n, 1);
    std::vector<float> factor(x.size());
    for (size_t i = 0; i < factor.size(); ++i) factor[i] = i % 3 == 0 ? -1.0f : 1.0f;
    std::vector<float> y = x, z = x;
    Hadamard(y.data(), factor.data(), n);
    HadamardTransposed(z.data(), nullptr, n);
    for (int64_t i = 0; i < n; ++i) {
      double expected = 0, transposed = 0;
      for (int64_t j = 0; j < n; ++j) {
        expected += HadamardEntry(n, i, j) * (j % 3 == 0 ? -1.0 : 1.0) * x[j];
        transposed += HadamardEntry(n, j, i) * double{x[j]};
      }
      ASSERT_NEAR(y[i], expected, 1e-4 * std::sqrt(double(n))) << n;
      ASSERT_NEAR(z[i], transposed, 1e-4 * std::sqrt(double(n))) << n;
    }
  }
}

TEST(Hadamard, TransposedTimesItselfIsN) {
  for (const int64_t n : kLengths) {
    std::vector<float> x = Draw(n, 2), y = x;
    Hadamard(y.data(), nullptr, n);
    HadamardTransposed(y.data(), nullptr, n);
    for (int64_t i = 0; i < n; ++i) ASSERT_NEAR(y[i] / double(n), x[i], 1e-5) << n;
  }
}

TEST(Hadamard, EveryTargetGivesTheSameBits) {
  const Target before = CurrentTarget();
  for (const int64_t n : kLengths) {
    std::vector<float> first;
    for (const Target target : SupportedTargets()) {
      SetTarget(target);
      std::vector<float> x = Draw(n, 3);
      Hadamard(x.data(), nullptr, n);
      if (first.empty()) first = x;
      ASSERT_EQ(x, first) << n << ' ' << NameOf(target);
    }
  }
  SetTarget(before);
}

TEST(Hadamard, LengthsWithoutATransformAreRefused) {
  std::vector<float> x(100);
  EXPECT_FALSE(HasHadamard(100));
  EXPECT_THROW(Hadamard(x.data(), nullptr, 100), Error);
  EXPECT_EQ(LargestHadamard(100), 96);
  EXPECT_EQ(LargestHadamard(200), 192);
  EXPECT_EQ(LargestHadamard(1), 1);
}

}  // namespace
}  // namespace lowbit
