#include "lowbit/quantize/table_scale.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lowbit/base/float16.h"
#include "lowbit/base/random.h"

namespace lowbit {
namespace {

std::vector<float> Normal(size_t n, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(n);
  for (float& v : x) v = random.Normal();
  return x;
}

double ErrorAt(const Table& table, std::span<const float> x, float scale, int zero = 0) {
  std::vector<uint8_t> codes(x.size());
  std::vector<float> shifted(x.begin(), x.end()), values(x.size());
  for (float& v : shifted) v += scale * static_cast<float>(zero);
  RoundToCodes(table, shifted, scale, codes);
  DecodeCodes(table, codes, scale, values);
  double error = 0;
  for (size_t i = 0; i < x.size(); ++i) error += std::pow(static_cast<double>(shifted[i]) - values[i], 2);
  return error;
}

// Against every scale on a fine grid.
TEST(TableScale, IsWithinTwoPercentOfTheBestScaleThereIs) {
  for (const char* name :
       {"int2", "int3", "int4", "e2m1", "nf4", "ternary", "binary", "apot4", "pot4", "int4-f32"}) {
    const ScalarFormat format = ParseScalarFormat(name);
    const Table table = TableOf(format.alphabet);
    for (const size_t n : {16, 64, 512}) {
      const std::vector<float> x = Normal(n, n);
      TableScaler scaler(format, 1);
      const GroupScale found = scaler.Fit(x);
      double best = 1e30;
      for (int i = 0; i < 3000; ++i)
        best = std::min(best, ErrorAt(table, x, 5 * std::exp2(static_cast<float>(i) / -400) / 2));
      EXPECT_LE(found.error, best * 1.02) << name << " " << n;
      EXPECT_NEAR(found.error, ErrorAt(table, x, found.scale), 1e-4 * found.error);
      if (format.scale == ScaleFormat::kF16) {
        EXPECT_EQ(F16ToFloat(FloatToF16(found.scale)), found.scale);
      }
    }
  }
}

TEST(TableScale, ScalesOfABlockAreTheBestOfTheirFormat) {
  for (const char* name : {"e2m1-g32-e8m0", "e2m1-g16-e4m3", "int4-g32-e8m0"}) {
    const ScalarFormat format = ParseScalarFormat(name);
    const Table table = TableOf(format.alphabet);
    const std::vector<float> all = Normal(512, 3);
    const float tensor = TensorScale(format, table, all);
    TableScaler scaler(format, tensor);
    for (size_t at = 0; at < all.size(); at += static_cast<size_t>(format.group)) {
      const auto x = std::span(all).subspan(at, static_cast<size_t>(format.group));
      double best = 1e30;
      for (int c = 1; c < (format.scale == ScaleFormat::kE8M0 ? 255 : 127); ++c) {
        const float scale =
            format.scale == ScaleFormat::kE8M0
                ? E8M0ToFloat(static_cast<uint8_t>(c))
                : TableOf(ParseScalarFormat("e4m3").alphabet).value[static_cast<size_t>(c)] * tensor;
        best = std::min(best, ErrorAt(table, x, scale));
      }
      EXPECT_LE(scaler.Fit(x).error, best * (1 + 1e-5)) << name;
    }
  }
}

TEST(TableScale, RulesAreWhatTheySay) {
  const std::vector<float> x = {0.1f, -0.2f, 0.4f, -4.0f};
  EXPECT_EQ(TableScaler(ParseScalarFormat("ternary-median-f32"), 1).Fit(x).scale, 0.2f);
  EXPECT_FLOAT_EQ(TableScaler(ParseScalarFormat("ternary-mean-f32"), 1).Fit(x).scale, 4.7f / 4);
  EXPECT_FLOAT_EQ(TableScaler(ParseScalarFormat("int4-absmax-f32"), 1).Fit(x).scale, 0.5f);
  const std::vector<float> zeros = {0, 0, 0, 3};
  EXPECT_FLOAT_EQ(TableScaler(ParseScalarFormat("ternary-median-f32"), 1).Fit(zeros).scale, 0.75f);
}

TEST(TableScale, ZeroPointsFollowTheRange) {
  std::vector<float> x = Normal(64, 4);
  for (float& v : x) v += 3;
  TableScaler affine(ParseScalarFormat("int4-asym"), 1), symmetric(ParseScalarFormat("int4"), 1);
  const GroupScale found = affine.Fit(x);
  EXPECT_LT(found.error, symmetric.Fit(x).error);
  std::vector<uint8_t> codes(x.size());
  std::vector<float> values(x.size());
  affine.Encode(x, found, codes);
  affine.Decode(codes, found, values);
  double error = 0;
  for (size_t i = 0; i < x.size(); ++i) error += std::pow(x[i] - values[i], 2);
  EXPECT_NEAR(error, found.error, 1e-4 * error);
}

TEST(TableScale, ZerosStayZero) {
  const std::vector<float> x(32, 0.0f);
  for (const char* name : {"int4", "int4-asym", "e2m1-g16-e4m3", "e2m1-e8m0", "ternary"}) {
    TableScaler scaler(ParseScalarFormat(name), 1);
    const GroupScale scale = scaler.Fit(x);
    std::vector<uint8_t> codes(32);
    std::vector<float> values(32, 1);
    scaler.Encode(x, scale, codes);
    scaler.Decode(codes, scale, values);
    EXPECT_EQ(values, x) << name;
  }
}

}  // namespace
}  // namespace lowbit
