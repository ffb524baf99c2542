#include "lowbit/kernel/vector_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "lowbit/base/random.h"

namespace lowbit {
namespace {

std::vector<float> Draw(int64_t n, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = 2 * random.Normal();
  return x;
}

TEST(VectorOps, MatchTheirFormulas) {
  ThreadPool pool(2);
  for (const int64_t n : {1, 7, 16, 33, 576, 40000}) {
    const std::vector<float> a = Draw(n, 1), b = Draw(n, 2);
    std::vector<float> y(a.size());
    Add(a.data(), b.data(), y.data(), n, pool);
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y[i], a[i] + b[i]);
    double mean = 0;
    for (float x : a) mean += double{x} * x / static_cast<double>(n);
    RmsNorm(a.data(), b.data(), y.data(), n, 1e-5f);
    for (int64_t i = 0; i < n; ++i)
      ASSERT_NEAR(y[i], a[i] / std::sqrt(mean + 1e-5) * b[i], 1e-5 * (1 + std::abs(y[i])));
    Glu(GluActivation::kSilu, a.data(), b.data(), y.data(), n, pool);
    for (int64_t i = 0; i < n; ++i) ASSERT_NEAR(y[i], a[i] / (1 + std::exp(-double{a[i]})) * b[i], 1e-5);
    Glu(GluActivation::kGeluTanh, a.data(), b.data(), y.data(), n, pool);
    for (int64_t i = 0; i < n; ++i) {
      const double x = a[i];
      ASSERT_NEAR(y[i], x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) * b[i],
                  1e-5);
    }
  }
}

TEST(VectorOps, GluIsFiniteAtTheExtremes) {
  ThreadPool pool(1);
  const float gate[4] = {-1e30f, 1e30f, -200, 200}, up[4] = {1, 1, 1, 1};
  float y[4];
  Glu(GluActivation::kSilu, gate, up, y, 4, pool);
  EXPECT_NEAR(y[2], 0, 1e-30);
  EXPECT_EQ(y[3], 200);
  EXPECT_EQ(y[1], 1e30f);
  EXPECT_TRUE(std::isfinite(y[0]));
}

TEST(VectorOps, RotationKeepsLengthsAndTurnsByTheAngle) {
  std::vector<float> x = Draw(3 * 48, 3);
  const std::vector<float> before = x;
  std::vector<float> cos, sin;
  for (int i = 0; i < 20; ++i) {  // 40 of 48 entries turn
    cos.push_back(static_cast<float>(std::cos(0.3 * i)));
    sin.push_back(static_cast<float>(std::sin(0.3 * i)));
  }
  RotateHeads(x.data(), 3, 48, cos.data(), sin.data(), 20);
  for (int h = 0; h < 3; ++h) {
    for (int i = 0; i < 20; ++i) {
      const float a = before[h * 48 + i], b = before[h * 48 + 20 + i];
      EXPECT_NEAR(x[h * 48 + i], a * cos[i] - b * sin[i], 1e-5);
      EXPECT_NEAR(x[h * 48 + 20 + i], b * cos[i] + a * sin[i], 1e-5);
    }
    for (int i = 40; i < 48; ++i) EXPECT_EQ(x[h * 48 + i], before[h * 48 + i]);
  }
}

}  // namespace
}  // namespace lowbit
