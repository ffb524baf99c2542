#include "lowbit/metric/rate_distortion.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"

namespace lowbit {
namespace {

double Decibel(double distortion) {
  return -10 * std::log10(distortion);
}

const auto kGaussian = [](double x) { return std::exp(-x * x / 2); };
const auto kLaplace = [](double x) { return std::exp(-std::numbers::sqrt2 * std::abs(x)); };

// Bernoulli(p) under Hamming distortion: R(D) = H(p) - H(D).
TEST(RateDistortion, BinarySourceHasItsClosedForm) {
  const auto entropy = [](double p) { return -p * std::log2(p) - (1 - p) * std::log2(1 - p); };
  for (double p : {0.5, 0.2, 0.05}) {
    for (double slope : {1.0, 2.0, 4.0, 6.0}) {
      const RatePoint point = BlahutArimoto(std::vector<double>{p, 1 - p}, std::vector<double>{0, 1, 1, 0},
                                            slope, {.tolerance = 1e-9, .most_iterations = 200000});
      const double expected = point.distortion >= p - 1e-9 ? 0 : entropy(p) - entropy(point.distortion);
      EXPECT_NEAR(point.rate, expected, 1e-6) << p << " " << slope;
      if (expected > 1e-4) {
        EXPECT_NEAR(point.distortion, 1 / (1 + std::exp(slope)), 1e-6);
      }
    }
  }
}

TEST(RateDistortion, GaussianIsFourToTheMinusRate) {
  const RateDistortion curve(DiscretizeDensity(kGaussian, 6, 200));
  for (double rate : {0.3, 0.5, 1.0, 2.0, 3.0, 4.0}) {
    EXPECT_NEAR(Decibel(curve.DistortionAt(rate)), Decibel(GaussianDistortion(1, rate)), 0.04) << rate;
    EXPECT_NEAR(curve.RateAt(curve.DistortionAt(rate)), rate, 1e-9);
  }
  EXPECT_DOUBLE_EQ(ShannonLowerBound(GaussianEntropy(), 2), 1 / 16.0);
}

// Jayant and Noll, Digital Coding of Waveforms: 6.62, 12.66 and 18.68 dB at 1, 2 and 3 bits.
TEST(RateDistortion, LaplaceAsPublished) {
  const RateDistortion curve(DiscretizeDensity(kLaplace, 14, 300), 3.5);
  EXPECT_NEAR(Decibel(curve.DistortionAt(1)), 6.62, 0.04);
  EXPECT_NEAR(Decibel(curve.DistortionAt(2)), 12.66, 0.04);
  EXPECT_NEAR(Decibel(curve.DistortionAt(3)), 18.68, 0.04);
  // Never below Shannon's bound, and the Gaussian law is the hardest of all.
  for (double rate : {0.25, 0.5, 1.0, 2.0, 3.0}) {
    EXPECT_GE(curve.DistortionAt(rate), ShannonLowerBound(LaplaceEntropy(), rate) * 0.995);
    EXPECT_LE(curve.DistortionAt(rate), GaussianDistortion(1, rate) * 1.005);
  }
}

// Laplace under absolute error: R(D) = log2(b / D), b the mean magnitude.
TEST(RateDistortion, LaplaceUnderAbsoluteErrorHasAClosedForm) {
  const Source source = DiscretizeDensity([](double x) { return std::exp(-std::abs(x)); }, 16, 401);
  const size_t n = source.value.size();
  std::vector<double> distortion(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) distortion[i * n + j] = std::abs(source.value[i] - source.value[j]);
  }
  for (double slope : {1.5, 2.0, 4.0}) {  // D = 1 / slope
    const RatePoint point = BlahutArimoto(source.probability, distortion, slope);
    EXPECT_NEAR(point.distortion, 1 / slope, 0.01);
    EXPECT_NEAR(point.rate, std::log2(1 / point.distortion), 0.01);
  }
}

TEST(RateDistortion, EntropiesOfSamplesAndLaws) {
  EXPECT_NEAR(StudentEntropy(1e6), GaussianEntropy(), 1e-4);
  // t with 3 degrees, unit variance: by quadrature.
  double mass = 0, sum = 0;
  for (int i = 0; i < 4000000; ++i) {
    const double x = 2000 * ((i + 0.5) / 4000000 - 0.5), f = std::pow(1 + x * x, -2.0);
    mass += f;
    sum += f * std::log2(f);
  }
  EXPECT_NEAR(StudentEntropy(3), -sum / mass + std::log2(mass * 2000 / 4000000), 2e-3);
  Random random(1);
  std::vector<float> values(100000);
  for (float& v : values) v = random.Uniform();
  EXPECT_NEAR(EntropyOfSample(values), 0, 0.01);
  for (size_t i = 0; i < values.size() / 2; ++i) values[i] = 0;
  EXPECT_EQ(EntropyOfSample(values), -std::numeric_limits<double>::infinity());
  EXPECT_THROW(EntropyOfSample(std::vector<float>(3)), Error);
  EXPECT_NEAR(EntropyOf(std::vector<int64_t>{1, 1, 2, 0}), 1.5, 1e-12);
  EXPECT_EQ(EntropyOf(std::vector<int64_t>{5}), 0);
}

TEST(RateDistortion, AHistogramOfSamplesFollowsItsLaw) {
  Random random(2);
  std::vector<float> values(200000);
  for (float& v : values) v = 3 * random.Normal();
  const Source source = HistogramOf(values, 200);
  EXPECT_NEAR(source.Variance(), 9, 0.1);
  const RateDistortion curve(source, 3);
  EXPECT_NEAR(Decibel(curve.DistortionAt(2) / 9), Decibel(1 / 16.0), 0.1);
  EXPECT_THROW(HistogramOf(std::vector<float>(4)), Error);
  EXPECT_THROW(RateDistortion(Source{{1}, {1}}), Error);
}

}  // namespace
}  // namespace lowbit
