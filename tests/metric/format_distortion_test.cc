#include "lowbit/metric/format_distortion.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"

namespace lowbit {
namespace {

FormatDistortion Measure(const char* name, const MeasuredSource& source) {
  return MeasureFormat(ParseScalarFormat(name), source, ThreadPool::Global());
}

// Max's table: the least errors of 2^b levels for the normal law, and the entropies of their codes.
TEST(FormatDistortion, LloydMaxOnTheNormalLaw) {
  const MeasuredSource source = MeasuredSource::OfLaw("gauss", 1 << 17, 0, 1);
  EXPECT_NEAR(source.variance(), 1, 0.02);
  EXPECT_NEAR(source.kurtosis(), 3, 0.1);
  const double expected[] = {.3633802276, .1174818478, .0345477608, .0095010080};
  const double entropy[] = {1, 1.9111, 2.8249, 3.7653};
  for (int b = 1; b <= 4; ++b) {
    const FormatDistortion measured = Measure(fmt::format("lloyd{}-gauss", b).c_str(), source);
    const double bits = b + 16 / 4096.0;
    EXPECT_NEAR(measured.mse / expected[b - 1], 1, 0.02) << b;
    EXPECT_DOUBLE_EQ(measured.bits, bits);
    EXPECT_NEAR(measured.coded_bits - 16 / 4096.0, entropy[b - 1], 0.02);
    EXPECT_NEAR(measured.bound, std::exp2(-2 * bits), 1e-12);
    EXPECT_NEAR(measured.gap_db, 10 * std::log10(expected[b - 1] / std::exp2(-2 * bits)), 0.1);
    EXPECT_NEAR(measured.gap_bits, measured.gap_db / 6.0206, 0.01);
  }
}

// The cards' figures: NVFP4 .0091, MXFP4 .0132 (floor), ternary .264 (mean) and .319 (median) of the normal
// law.
TEST(FormatDistortion, BlockFormatsAndTernaryAsTheirCardsSay) {
  const MeasuredSource source = MeasuredSource::OfLaw("gauss", 1 << 17, 0, 2);
  EXPECT_NEAR(Measure("nvfp4", source).mse, .0091, .0003);
  EXPECT_NEAR(Measure("mxfp4", source).mse, .0132, .0004);
  EXPECT_NEAR(Measure("ternary-mean", source).mse, .264, .01);
  EXPECT_NEAR(Measure("ternary-median", source).mse, .319, .01);
  EXPECT_NEAR(Measure("pot4", source).mse, .0370, .001);
  EXPECT_NEAR(Measure("post4", source).mse, .0130, .0005);
  EXPECT_NEAR(Measure("e3m0", source).mse, .0374, .001);
  EXPECT_LT(Measure("nvfp4-mse", source).mse, Measure("nvfp4", source).mse);
  EXPECT_LT(Measure("mxfp4-mse", source).mse, Measure("mxfp4", source).mse);
}

TEST(FormatDistortion, NothingOfIndependentValuesIsBelowItsBound) {
  for (const char* law : {"gauss", "laplace", "student"}) {
    const MeasuredSource source = MeasuredSource::OfLaw(law, 1 << 15, 5, 3);
    for (const char* name : {"binary-g64", "ternary", "int2-g64", "int3", "e2m1-g16-e4m3", "nf4-g64",
                             "int8-g128", "lloyd3-laplace", "int4-asym-g64"}) {
      const FormatDistortion measured = Measure(name, source);
      EXPECT_GT(measured.gap_db, -0.1) << law << " " << name;
      EXPECT_GT(measured.coded_gap, 0) << law << " " << name;
      EXPECT_LE(measured.coded_bits, measured.bits + 1e-9) << law << " " << name;
    }
  }
}

// Signs with one magnitude a group: the histogram of all is wide and does not know it, the group's scale
// does.
TEST(FormatDistortion, GroupsMayBeatTheBoundOfIndependentValues) {
  Random random(4);
  std::vector<float> values(64 * 512);
  float magnitude = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i % 64 == 0) magnitude = std::abs(random.Normal());
    values[i] = random.Below(2) != 0 ? magnitude : -magnitude;
  }
  const MeasuredSource source = MeasuredSource::OfTensor("signs", values, 512);
  EXPECT_LT(Measure("binary-g64", source).gap_db, -10);
  EXPECT_GT(Measure("binary", source).gap_db, 0);
}

TEST(FormatDistortion, DoesNotDependOnThreads) {
  const MeasuredSource source = MeasuredSource::OfLaw("laplace", 1 << 15, 0, 5);
  ThreadPool one(1), three(3);
  for (const char* name : {"int3-g64", "nvfp4-mse"}) {
    const FormatDistortion a = MeasureFormat(ParseScalarFormat(name), source, one),
                           b = MeasureFormat(ParseScalarFormat(name), source, three);
    EXPECT_EQ(a.mse, b.mse);
    EXPECT_EQ(a.coded_bits, b.coded_bits);
  }
}

TEST(FormatDistortion, BadSourcesAreRefused) {
  EXPECT_THROW(MeasuredSource::OfLaw("cauchy", 4096, 5, 1), UsageError);
  EXPECT_THROW(MeasuredSource::OfLaw("student", 4096, 2, 1), Error);
  EXPECT_THROW(MeasuredSource::OfTensor("t", std::vector<float>(100, 1.0f), 100), Error);
  EXPECT_THROW(MeasuredSource::OfTensor("t", std::vector<float>(10), 10), Error);
  std::vector<float> values(100, 1.0f);
  values[3] = NAN;
  EXPECT_THROW(MeasuredSource::OfTensor("t", values, 100), Error);
}

}  // namespace
}  // namespace lowbit
