#include "lowbit/metric/lm_metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"

namespace lowbit {
namespace {

TEST(LmMetrics, MatchesTheDefinition) {
  Random random(1);
  LmMetrics metrics;
  double nats = 0, kl_sum = 0;
  int agreed = 0;
  for (int t = 0; t < 50; ++t) {
    float a[7], b[7];
    double za = 0, zb = 0;
    for (int i = 0; i < 7; ++i) {
      a[i] = 3 * random.Normal() + 100;  // a shift must not matter
      b[i] = 3 * random.Normal() - 100;
      za += std::exp(a[i] - 100.0);
      zb += std::exp(b[i] + 100.0);
    }
    const auto target = static_cast<int32_t>(random.Below(7));
    double kl = 0;
    int top_a = 0, top_b = 0;
    for (int i = 0; i < 7; ++i) {
      const double p = std::exp(b[i] + 100.0) / zb, q = std::exp(a[i] - 100.0) / za;
      kl += p * std::log(p / q);
      if (a[i] > a[top_a]) top_a = i;
      if (b[i] > b[top_b]) top_b = i;
    }
    nats -= std::log(std::exp(a[target] - 100.0) / za);
    kl_sum += kl;
    agreed += top_a == top_b;
    metrics.Add(ScoreToken(a, target, b));
  }
  metrics.AddBytes(200);
  EXPECT_NEAR(metrics.nats_per_token(), nats / 50, 1e-9);
  EXPECT_NEAR(metrics.bits_per_byte(), nats / std::log(2.0) / 200, 1e-9);
  EXPECT_NEAR(metrics.kl_mean(), kl_sum / 50, 1e-9);
  EXPECT_DOUBLE_EQ(metrics.agreement(), agreed / 50.0);
  EXPECT_LE(metrics.kl_percentile(0.5), metrics.kl_percentile(0.99));
}

TEST(LmMetrics, EqualDistributionsHaveNoDivergence) {
  const float a[3] = {1, 2, 3};
  const TokenScore score = ScoreToken(a, 0, a);
  EXPECT_EQ(score.kl, 0);
  EXPECT_TRUE(score.agrees);
}

TEST(LmMetrics, BadLogitsAndTargetsAreErrors) {
  const float a[2] = {1, std::numeric_limits<float>::quiet_NaN()}, b[2] = {1, 2};
  EXPECT_THROW(ScoreToken(a, 0), Error);
  EXPECT_THROW(ScoreToken(b, 2), Error);
  EXPECT_THROW(ScoreToken(b, -1), Error);
}

}  // namespace
}  // namespace lowbit
