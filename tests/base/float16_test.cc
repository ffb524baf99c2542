#include "lowbit/base/float16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "lowbit/base/random.h"

namespace lowbit {
namespace {

TEST(Float16, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = F16ToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(F16ToFloat(FloatToF16(value))));
    } else {
      EXPECT_EQ(FloatToF16(value), bits);
    }
  }
}

TEST(Float16, RoundsToTheNearestAndTiesToEven) {
  Random random(7);
  for (int i = 0; i < 200000; ++i) {
    const auto low = static_cast<uint16_t>(random.Below(0x7bff));
    const float a = F16ToFloat(low), b = F16ToFloat(low + 1);
    const float t = random.Uniform();
    const float x = a + (b - a) * t;
    const float back = F16ToFloat(FloatToF16(x));
    EXPECT_LE(std::abs(back - x), std::min(x - a, b - x));
    EXPECT_EQ(FloatToF16((a + b) / 2) & 1, 0) << low;
  }
}

TEST(BFloat16, RoundsToEvenAndKeepsNaN) {
  EXPECT_EQ(FloatToBF16(1.0f), 0x3f80);
  EXPECT_EQ(FloatToBF16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(FloatToBF16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_TRUE(std::isnan(BF16ToFloat(FloatToBF16(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace lowbit
