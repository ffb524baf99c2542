#include "lowbit/transform/rotation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/transform/normal.h"

namespace lowbit {
namespace {

std::vector<float> Draw(int64_t n, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = random.Normal();
  return x;
}

double Dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

TEST(Normal, LogarithmAgreesWithTheLibrary) {
  for (const double x : {1.0, 0.5, 1.5, 1e-300, 1e300, 5e-324, 0.70710678, 1.41421356, 3.0, 1 + 1e-15})
    EXPECT_NEAR(PortableLog(x), std::log(x), 2e-15 * std::max(1.0, std::abs(std::log(x)))) << x;
}

TEST(Normal, MomentsAreThoseOfTheLaw) {
  NormalSequence normal(4);
  double m1 = 0, m2 = 0, m4 = 0;
  constexpr int kDraws = 400000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = normal.Next();
    m1 += x, m2 += x * x, m4 += x * x * x * x;
  }
  EXPECT_NEAR(m1 / kDraws, 0, 0.006);
  EXPECT_NEAR(m2 / kDraws, 1, 0.01);
  EXPECT_NEAR(m4 / kDraws, 3, 0.07);
}

TEST(HaarRotation, IsOrthonormalInDoublePrecision) {
  for (const int64_t d : {1, 2, 3, 17, 64}) {
    const std::vector<double> pi = HaarMatrix(d, 9);
    for (int64_t i = 0; i < d; ++i) {
      for (int64_t j = 0; j <= i; ++j) {
        double dot = 0;
        for (int64_t c = 0; c < d; ++c)
          dot += pi[static_cast<size_t>(i * d + c)] * pi[static_cast<size_t>(j * d + c)];
        ASSERT_NEAR(dot, i == j ? 1 : 0, 1e-12) << d;
      }
    }
  }
}

// Under Haar measure an entry has variance 1/d and fourth moment 3 / (d (d + 2)), and both determinants
// occur.
TEST(HaarRotation, EntriesHaveTheMomentsOfHaarMeasure) {
  constexpr int64_t kD = 4;
  constexpr int kDraws = 4000;
  std::vector<double> m2(kD * kD), m4(kD * kD), m1(kD * kD);
  for (int seed = 0; seed < kDraws; ++seed) {
    const std::vector<double> pi = HaarMatrix(kD, static_cast<uint64_t>(seed));
    for (size_t i = 0; i < pi.size(); ++i) {
      m1[i] += pi[i] / kDraws;
      m2[i] += pi[i] * pi[i] / kDraws;
      m4[i] += std::pow(pi[i], 4) / kDraws;
    }
  }
  for (size_t i = 0; i < m2.size(); ++i) {
    EXPECT_NEAR(m1[i], 0, 0.03);
    EXPECT_NEAR(m2[i], 0.25, 0.02);
    EXPECT_NEAR(m4[i], 3.0 / 24, 0.02);
  }
}

TEST(Rotation, KeepsInnerProductsAndIsUndone) {
  for (const RotationKind kind : {RotationKind::kNone, RotationKind::kHadamard, RotationKind::kHaar}) {
    for (const int64_t d : {1, 2, 3, 7, 25, 64, 96, 100, 128, 160, 192, 200, 384}) {
      const Rotation rotation(d, {.kind = kind, .seed = 5});
      const std::vector<float> x = Draw(d, 1), q = Draw(d, 2);
      std::vector<float> px(x.size()), pq(x.size()), back(x.size());
      rotation.Apply(x.data(), px.data());
      rotation.Apply(q.data(), pq.data());
      rotation.Inverse(px.data(), back.data());
      EXPECT_NEAR(Dot(px, pq), Dot(x, q), 1e-5 * d) << NameOf(kind) << d;
      for (int64_t i = 0; i < d; ++i) ASSERT_NEAR(back[i], x[i], 1e-5) << NameOf(kind) << d;
    }
  }
}

// Three rounds make a one-hot vector look Gaussian: excess kurtosis near 0, largest entry near sqrt(2 ln d).
TEST(Rotation, ThreeRoundsFlattenAOneHotVector) {
  for (const int64_t d : {96, 100, 128, 768}) {
    double fourth = 0;
    constexpr int kSeeds = 60;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      const Rotation rotation(d, {.seed = seed});
      std::vector<float> x(static_cast<size_t>(d)), y(x.size());
      x[static_cast<size_t>(seed) % x.size()] = 1;
      rotation.Apply(x.data(), y.data());
      for (const float v : y) fourth += std::pow(double{v}, 4) * d / kSeeds;
    }
    EXPECT_NEAR(fourth, 3.0 * d / (d + 2), 0.35) << d;
  }
}

uint64_t Hash(const std::vector<float>& x) {
  uint64_t hash = 1469598103934665603ull;
  for (const float v : x) {
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    for (int i = 0; i < 4; ++i) hash = (hash ^ (bits >> (8 * i) & 255)) * 1099511628211ull;
  }
  return hash;
}

// Files that store a seed depend on these bits: they may never change, on any platform.
TEST(Rotation, SeedsGiveTheSameBytesEverywhere) {
  std::vector<float> x(96), y(96), z(96);
  for (int i = 0; i < 96; ++i) x[static_cast<size_t>(i)] = static_cast<float>(i % 7 - 3);
  Rotation(96, {.seed = 42}).Apply(x.data(), y.data());
  Rotation(96, {.kind = RotationKind::kHaar, .seed = 42}).Apply(x.data(), z.data());
  EXPECT_EQ(Hash(y), 11638045367394555391u);
  EXPECT_EQ(Hash(z), 2812942173833595024u);
  EXPECT_EQ(Hash(GaussianSketch(8, 8, 42)), 2651148240530246427u);
}

TEST(Rotation, RefusesWhatIsNoRotation) {
  EXPECT_THROW(Rotation(0, {}), Error);
  EXPECT_THROW(Rotation(8, {.rounds = 0}), Error);
}

}  // namespace
}  // namespace lowbit
