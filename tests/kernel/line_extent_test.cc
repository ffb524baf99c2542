#include "lowbit/kernel/line_extent.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "lowbit/base/random.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

TEST(LineExtent, IsWhatPlainLoopsFindAndTheSameBitsOnEveryTarget) {
  Random random(1);
  for (const int64_t n : {1, 2, 7, 8, 9, 31, 32, 96, 128, 509}) {
    std::vector<float> x;
    for (int64_t i = 0; i < n; ++i)
      x.push_back(i % 9 == 3 ? -0.0f : random.Normal() * std::exp2(static_cast<float>(i % 40) - 20));
    double magnitude = 0, square = 0;
    float low = x[0], high = x[0];
    for (const float v : x) {
      low = std::min(low, v);
      high = std::max(high, v);
      magnitude += std::abs(v);
      square += double{v} * v;
    }
    SetTarget(SupportedTargets().front());
    const LineExtent first = ExtentOf(x.data(), n);
    for (const Target target : SupportedTargets()) {
      SetTarget(target);
      const LineExtent e = ExtentOf(x.data(), n);
      EXPECT_EQ(e.low, low);
      EXPECT_EQ(e.high, high);
      EXPECT_NEAR(e.magnitude, magnitude, 1e-12 * magnitude);
      EXPECT_NEAR(e.square, square, 1e-12 * square);
      EXPECT_EQ(e.magnitude, first.magnitude) << NameOf(target);
      EXPECT_EQ(e.square, first.square) << NameOf(target);
    }
  }
}

TEST(LineExtent, ZeroHasNoSignAndNanIsSeen) {
  for (const Target target : SupportedTargets()) {
    SetTarget(target);
    const std::vector<float> zero(11, -0.0f);
    EXPECT_FALSE(std::signbit(ExtentOf(zero.data(), 11).low));
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), INFINITY, -INFINITY}) {
      for (const size_t at : {0, 5, 10}) {
        std::vector<float> x(11, 1.0f);
        x[at] = bad;
        EXPECT_FALSE(std::isfinite(ExtentOf(x.data(), 11).magnitude));
      }
    }
  }
}

}  // namespace
}  // namespace lowbit
