#include "lowbit/format/lloyd_max.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

void CheckConditions(const Density& density, const ScalarQuantizer& q, double tolerance) {
  double second = 0, total = 0;
  for (size_t i = 0; i < q.level.size(); ++i) {
    const double a = i == 0 ? density.low : q.threshold[i - 1];
    const double b = i + 1 == q.level.size() ? density.high : q.threshold[i];
    const double p = density.mass(a, b);
    EXPECT_NEAR(q.level[i], density.first_moment(a, b) / p, tolerance);
    if (i + 1 < q.level.size()) {
      EXPECT_NEAR(q.threshold[i], (q.level[i] + q.level[i + 1]) / 2, 1e-12);
    }
    EXPECT_NEAR(q.level[i], -q.level[q.level.size() - 1 - i], tolerance);
    second += p * q.level[i] * q.level[i];
    total += p;
  }
  EXPECT_NEAR(total, 1, 1e-9);
  EXPECT_NEAR(second, 1 - q.distortion, 1e-9);
}

// Max (1960), and the card's table.
TEST(LloydMax, GaussianTables) {
  const double distortion[8] = {.3633802276, .1174818478, .0345477608, .0095010080, 0, 0, 0, 0};
  double before = 1;
  for (int bits = 1; bits <= 8; ++bits) {
    const ScalarQuantizer q = DesignLloydMax(GaussianDensity(), bits);
    CheckConditions(GaussianDensity(), q, 1e-8);
    if (bits <= 4) {
      EXPECT_NEAR(q.distortion, distortion[bits - 1], 1e-9) << bits;
    }
    // Panter and Dite: 4^b D -> sqrt(3) pi / 2 from below; D falls by less than 4 at each bit, more than 3.
    EXPECT_LT(q.distortion, 2.7207 * std::pow(4, -bits));
    EXPECT_LT(q.distortion, before / 2.7);
    EXPECT_GT(q.distortion, std::pow(4, -bits));
    before = q.distortion;
  }
  const ScalarQuantizer two = DesignLloydMax(GaussianDensity(), 2);
  EXPECT_NEAR(two.level[2], .4527800346, 1e-9);
  EXPECT_NEAR(two.level[3], 1.5104176080, 1e-9);
  const ScalarQuantizer four = DesignLloydMax(GaussianDensity(), 4);
  EXPECT_NEAR(four.level[8], .1283950299, 1e-9);
  EXPECT_NEAR(four.level[15], 2.7325895710, 1e-9);
}

TEST(LloydMax, LaplaceTables) {
  // One bit: the level is E|x| = 1/sqrt2, D = 1/2. Two bits: the fixed point of Max's conditions in closed
  // form.
  EXPECT_NEAR(DesignLloydMax(LaplaceDensity(), 1).distortion, 0.5, 1e-10);
  EXPECT_NEAR(DesignLloydMax(LaplaceDensity(), 2).distortion, 0.17620, 2e-4);
  for (int bits = 1; bits <= 8; ++bits)
    CheckConditions(LaplaceDensity(), DesignLloydMax(LaplaceDensity(), bits), 1e-8);
}

TEST(LloydMax, SphereTables) {
  struct Row {
    int64_t d;
    double distortion[4], top;
  };
  for (const Row& row : {Row{64, {.358387, .114526, .033391, .009132}, 2.646370},
                         Row{96, {.360056, .115508, .033773, .009253}, 2.674560},
                         Row{128, {.360889, .116000, .033966, .009315}, 2.688859},
                         Row{256, {.362136, .116740, .034256, .009408}, 2.710567},
                         Row{1536, {.363173, .117358, .034499, .009485}, 2.728897}}) {
    for (int bits = 1; bits <= 4; ++bits) {
      const ScalarQuantizer q = DesignLloydMax(SphereDensity(row.d), bits);
      CheckConditions(SphereDensity(row.d), q, 1e-8);
      EXPECT_NEAR(q.distortion, row.distortion[bits - 1], 1e-6) << row.d << ' ' << bits;
      if (bits == 4) {
        EXPECT_NEAR(q.level.back(), row.top, 2e-6) << row.d;
      }
    }
  }
  for (const int64_t d : {2, 3, 4, 5, 32}) {
    for (const int bits : {1, 4, 8}) {
      const ScalarQuantizer q = DesignLloydMax(SphereDensity(d), bits);
      EXPECT_NEAR(q.level.front(), -q.level.back(), 1e-8) << d;
      EXPECT_LT(q.level.back(), std::sqrt(double(d)));
    }
  }
}

TEST(LloydMax, NumericDensitiesAgreeWithClosedForms) {
  const Density numeric = NumericDensity([](double x) { return std::exp(-x * x / 2); }, -10, 10);
  EXPECT_NEAR(numeric.variance, 1, 1e-10);
  for (const int bits : {1, 3, 6}) {
    const ScalarQuantizer a = DesignLloydMax(numeric, bits), b = DesignLloydMax(GaussianDensity(), bits);
    EXPECT_NEAR(a.distortion, b.distortion, 1e-9);
    for (size_t i = 0; i < a.level.size(); ++i) EXPECT_NEAR(a.level[i], b.level[i], 1e-7);
  }
  // Uniform on [0, 1]: equal cells.
  const ScalarQuantizer uniform = DesignLloydMax(NumericDensity([](double) { return 1.0; }, 0, 1), 3);
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(uniform.level[i], (static_cast<double>(i) + 0.5) / 8, 1e-9);
  EXPECT_NEAR(uniform.distortion, 1.0 / 64 / 12, 1e-9);
}

TEST(LloydMax, RefusesWhatHasNoSolution) {
  EXPECT_THROW(DesignLloydMax(GaussianDensity(), 0), Error);
  EXPECT_THROW(DesignLloydMax(GaussianDensity(), 9), Error);
  EXPECT_THROW(SphereDensity(1), Error);
  EXPECT_THROW(NumericDensity([](double) { return 0.0; }, 0, 1), Error);
}

}  // namespace
}  // namespace lowbit
