#include "lowbit/format/alphabets.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <set>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/format/byte_decode.h"
#include "lowbit/format/lloyd_max_levels.h"
#include "lowbit/format/scalar_format.h"

namespace lowbit {
namespace {

float Rounded(const Table& table, float x) {
  return table.value[RoundToCode(table, x)];
}

TEST(Alphabets, IntegersRoundLikeRint) {
  Random random(1);
  for (int bits = 1; bits <= 8; ++bits) {
    const Table table = IntegerTable(bits), narrow = bits > 1 ? NarrowIntegerTable(bits) : table;
    const float half = static_cast<float>(1 << (bits - 1));
    for (int i = -1200; i < 1200; ++i) {
      const float x = i < 1000 ? static_cast<float>(i) / 4 : 300 * (random.Uniform() - 0.5f);
      EXPECT_EQ(Rounded(table, x), std::clamp(std::rint(x), -half, half - 1));
      EXPECT_EQ(RoundToCode(table, x), Rounded(table, x) + half);
      if (bits > 1) {
        EXPECT_EQ(Rounded(narrow, x), std::clamp(std::rint(x), 1 - half, half - 1));
        EXPECT_EQ(static_cast<int8_t>(RoundToCode(TwosComplementTable(8), x)),
                  std::clamp(std::rint(x), -127.0f, 127.0f));
      }
    }
  }
}

// PowerQuant: a decoded code encodes to itself, x -> |x|^a is multiplicative, and the code is the formula's.
TEST(Alphabets, PowersOfAnExponentFollowTheFormula) {
  Random random(2);
  for (double a : {0.3, 0.5, 0.55, 1.0, 1.5}) {
    const Table table = PowerTable(4, a);
    EXPECT_EQ(table.MaxMagnitude(), 1);
    for (int i = 0; i < 2000; ++i) {
      const double x = 2.4 * (random.Uniform() - 0.5);
      const double u = std::min(1.0, std::pow(std::abs(x), a)) * 7;
      if (std::abs(u - std::floor(u) - 0.5) < 1e-5) continue;
      const int code = 8 + (x < 0 ? -1 : 1) * static_cast<int>(std::lround(u));
      EXPECT_EQ(RoundToCode(table, static_cast<float>(x)), code) << x;
    }
  }
  // a = 1 is the uniform grid over L; a = 1/2 decodes to squares.
  const Table one = PowerTable(5, 1), narrow = NarrowIntegerTable(5), half = PowerTable(4, 0.5);
  for (int i = -200; i <= 200; ++i) {
    const float x = static_cast<float>(i) / 10;
    if (std::abs(std::abs(x) - std::floor(std::abs(x)) - 0.5f) < 1e-3f) continue;
    EXPECT_EQ(RoundToCode(one, x / 15), RoundToCode(narrow, x));
  }
  for (int q = -7; q <= 7; ++q) {
    EXPECT_FLOAT_EQ(half.value[static_cast<size_t>(q + 8)], static_cast<float>(q * std::abs(q)) / 49);
  }
}

TEST(Alphabets, AdditivePowersAreSumsOfPowers) {
  const int divisor[] = {0, 0, 4, 10, 48, 100, 448};
  for (int b = 2; b <= 6; ++b) {
    const Table table = UnsignedAdditivePowerTable(b);
    ASSERT_EQ(table.size(), 1 << b);
    EXPECT_EQ(table.level.front(), 0);
    EXPECT_EQ(table.level.back(), static_cast<float>(divisor[b]));
    EXPECT_EQ(ExactArithmetic(table), b < 6 ? Arithmetic::kInt8 : Arithmetic::kInt8Pair);
    const Table sign = AdditivePowerTable(b + 1);
    for (size_t c = 0; c < table.value.size(); ++c) {
      EXPECT_EQ(sign.value[c], table.value[c]);
      EXPECT_EQ(sign.value[c | size_t{1} << b], -table.value[c]);
    }
    for (float x : {0.5f, 1.5f, 5.0f}) EXPECT_EQ(Rounded(sign, -x), -Rounded(sign, x));  // ties too
  }
  EXPECT_EQ(Rounded(AdditivePowerTable(4), 0.5f), 0);
  EXPECT_EQ(Rounded(AdditivePowerTable(4), 5.0f), 4);
  EXPECT_THROW(AdditivePowerTable(2), Error);
}

TEST(Alphabets, PowersOfABase) {
  for (double base : {2.0, std::numbers::sqrt2, 1.5}) {
    const Table table = PowersTable(4, base);
    EXPECT_EQ(table.size(), 15);
    for (size_t i = 9; i < 15; ++i) {
      EXPECT_NEAR(table.level[i] / table.level[i - 1], base, 1e-6);
    }
    for (int i = 0; i < 200; ++i) {
      const float x = static_cast<float>(i) / 150;
      EXPECT_EQ(Rounded(table, -x), -Rounded(table, x));
    }
  }
  EXPECT_EQ(Rounded(PowersTable(4, 2), 0.75f), 1);  // halfway goes to the larger magnitude
  EXPECT_EQ(Rounded(PowersTable(4, 2), -0.75f), -1);
  EXPECT_EQ(PowersTable(2, 2).size(), 3);
}

TEST(Alphabets, LogarithmsRoundInTheLogarithm) {
  for (double base : {2.0, std::numbers::sqrt2}) {
    const Table table = LogTable(4, base);
    for (int i = 1; i < 3000; ++i) {
      const double x = std::exp(-i * 0.004), k = std::round(-std::log(x) / std::log(base));
      EXPECT_EQ(RoundToCode(table, static_cast<float>(x)), std::min(k, 15.0)) << x;
    }
    EXPECT_EQ(RoundToCode(table, 0.0f), 15);
    EXPECT_EQ(RoundToCode(table, 7.0f), 0);
    EXPECT_EQ(table.value[15], 0);
  }
  // Even codes of sqrt 2 are the grid of 2.
  for (size_t k = 0; k < 7; ++k)
    EXPECT_EQ(LogTable(4, std::numbers::sqrt2).value[2 * k], LogTable(4, 2).value[k]);
}

// Double-Rounding: codes from reals equal codes from the stored integers, halfway cases included.
TEST(Alphabets, NestedIntegersRoundTwice) {
  for (int low = 1; low < 8; ++low) {
    const Table table = NestedIntegerTable(8, low);
    const float unit = static_cast<float>(1 << (8 - low));
    for (int i = -4 * 140; i <= 4 * 140; ++i) {
      const float x = static_cast<float>(i) / 4;
      const auto stored = static_cast<int8_t>(std::clamp(std::rint(x), -128.0f, 127.0f));
      EXPECT_EQ(Rounded(table, x), unit * static_cast<float>(Narrow(stored, 8, low))) << x << " at " << low;
    }
  }
  EXPECT_EQ(Narrow(127, 8, 4), 7);
  EXPECT_EQ(Narrow(8, 8, 4), 1);
  EXPECT_EQ(Narrow(-8, 8, 4), 0);
}

TEST(Alphabets, NormalFloatAsPublished) {
  const Table table = NormalFloatTable();
  EXPECT_EQ(table.value[0], -1.0f);
  EXPECT_EQ(table.value[7], 0.0f);
  EXPECT_EQ(table.value[15], 1.0f);
  EXPECT_EQ(std::bit_cast<uint32_t>(table.value[1]), 0xbf3239b1u);
  // bitsandbytes writes its midpoints in single precision and asks x > t.
  for (float t : {0.8614784181118011f, 0.03979014977812767f, -0.8480964004993439f, -0.33967943489551544f}) {
    EXPECT_EQ(RankOf(table, t) + 1, RankOf(table, std::nextafter(t, 2.0f)));
  }
  for (size_t r = 0; r < 15; ++r) {
    EXPECT_NEAR(table.threshold[r], (table.level[r] + table.level[r + 1]) / 2, 1e-7);
  }
}

TEST(Alphabets, TernaryAndBinary) {
  const Table ternary = TernaryTable(), binary = BinaryTable();
  EXPECT_EQ(Rounded(ternary, 0.5f), 0);  // one half exactly stays 0
  EXPECT_EQ(Rounded(ternary, -0.5f), 0);
  EXPECT_EQ(Rounded(ternary, 0.50001f), 1);
  EXPECT_EQ(RoundToCode(ternary, -3.0f), 0);
  EXPECT_TRUE(std::isnan(ternary.value[3]));
  EXPECT_EQ(Rounded(binary, 0.0f), 1);
  EXPECT_EQ(Rounded(binary, -0.0f), 1);
  EXPECT_EQ(Rounded(binary, -1e-40f), -1);
}

// The published optima (to the digits given), and the condition of optimality at every width.
TEST(Alphabets, LloydMaxLevelsOfTheNormalLaw) {
  const std::vector<float> one = LloydMaxLevels({LawKind::kGaussian}, 1),
                           two = LloydMaxLevels({LawKind::kGaussian}, 2),
                           four = LloydMaxLevels({LawKind::kGaussian}, 4);
  EXPECT_NEAR(one[1], 0.7978845608, 1e-7);
  EXPECT_NEAR(two[2], 0.4527800346, 1e-7);
  EXPECT_NEAR(two[3], 1.5104176080, 1e-7);
  EXPECT_NEAR(four[8], 0.1283950299, 1e-7);
  EXPECT_NEAR(four[15], 2.7325895710, 1e-6);
  // Max's table for Laplace: 0.7071; 0.4198, 1.8340.
  const std::vector<float> laplace = LloydMaxLevels({LawKind::kLaplace}, 2);
  EXPECT_NEAR(laplace[2], 0.4198, 1e-4);
  EXPECT_NEAR(laplace[3], 1.8340, 1e-4);
}

TEST(Alphabets, LloydMaxLevelsOfTheSphere) {
  const std::vector<float> l64 = LloydMaxLevels({LawKind::kBeta, 64}, 4),
                           l1536 = LloydMaxLevels({LawKind::kBeta, 1536}, 3);
  const double expected[] = {.127352, .384718, .650494, .931894, 1.239404, 1.590849, 2.023310, 2.646370};
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(l64[8 + i], expected[i], 1e-6);
  EXPECT_NEAR(l1536[4], .245038, 1e-6);
  EXPECT_NEAR(l1536[7], 2.150227, 1e-6);
  // Three dimensions: the law is uniform, so are the levels.
  const std::vector<float> uniform = LloydMaxLevels({LawKind::kBeta, 3}, 3);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(uniform[i], std::sqrt(3.0) * (2 * static_cast<double>(i) - 7) / 8, 1e-6);
  }
}

TEST(Alphabets, LloydMaxLevelsAreMeansOfTheirCells) {
  for (const LawKind kind : {LawKind::kGaussian, LawKind::kLaplace}) {
    for (int bits = 1; bits <= 8; ++bits) {
      const std::vector<float> level = LloydMaxLevels({kind}, bits);
      ASSERT_EQ(level.size(), size_t{1} << bits);
      const auto f = [&](double x) {
        return kind == LawKind::kGaussian ? std::exp(-x * x / 2)
                                          : std::exp(-std::numbers::sqrt2 * std::abs(x));
      };
      for (size_t i = level.size() / 2; i < level.size(); ++i) {
        EXPECT_EQ(level[i], -level[level.size() - 1 - i]);
        const double a = i == level.size() / 2 ? 0 : (level[i - 1] + level[i]) / 2.0;
        const double b = i + 1 == level.size() ? a + 15 : (level[i] + level[i + 1]) / 2.0;
        double mass = 0, moment = 0;
        constexpr int kSteps = 4000;
        for (int k = 0; k < kSteps; ++k) {
          const double x = a + (b - a) * (k + 0.5) / kSteps;
          mass += f(x);
          moment += x * f(x);
        }
        EXPECT_NEAR(moment / mass, level[i], 2e-5) << bits << " bits, level " << i;
      }
    }
  }
}

TEST(Alphabets, WhatMultipliesInWhich) {
  const auto arithmetic = [](const char* name) {
    return ExactArithmetic(TableOf(ParseScalarFormat(name).alphabet));
  };
  for (const char* name : {"int8", "int4", "e2m1", "e2m3", "e3m0", "e1m2", "apot3", "apot5", "apot6", "pot4",
                           "ternary", "binary", "nested8-4", "iq4nl"}) {
    EXPECT_EQ(arithmetic(name), Arithmetic::kInt8) << name;
  }
  for (const char* name : {"apot7", "e3m2"}) EXPECT_EQ(arithmetic(name), Arithmetic::kInt8Pair) << name;
  for (const char* name : {"e4m3", "e5m2"}) EXPECT_EQ(arithmetic(name), Arithmetic::kBF16) << name;
  for (const char* name : {"nf4", "lloyd4-gauss", "nupes4-p0.6", "post4"}) {
    EXPECT_EQ(arithmetic(name), Arithmetic::kF32) << name;
  }
}

}  // namespace
}  // namespace lowbit
