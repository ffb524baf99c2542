#include "lowbit/quantize/table_groups.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/format/block_float.h"
#include "tests/quantize/random_layer.h"

namespace lowbit {
namespace {

constexpr const char* kNames[] = {
    "e2m1-g32",           "nf4-g64",       "apot4",           "mxfp4",   "nvfp4", "ternary",
    "ternary-g64-median", "e4m3-g32-e8m0", "nupes4-p0.7-g32", "int4-g32"};

TEST(RoundToTable, IsTheScalerOnEveryGroup) {
  const int64_t rows = 37, columns = 160;
  const std::vector<float> w = RandomWeights<float>(rows, columns, 1);
  for (const char* name : kNames) {
    const ScalarFormat format = ParseScalarFormat(name);
    const TableCodes codes = RoundToTable(View(w, rows), format);
    const float tensor = TensorScale(format, TableOf(format.alphabet), w);
    EXPECT_EQ(codes.tensor_scale, tensor) << name;
    TableScaler scaler(format, tensor);
    const int64_t group = format.group == 0 ? columns : format.group;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; c += group) {
        const int64_t n = std::min(group, columns - c);
        const std::span<const float> x(w.data() + r * columns + c, static_cast<size_t>(n));
        const GroupScale scale = scaler.Fit(x);
        std::vector<uint8_t> expected(x.size());
        scaler.Encode(x, scale, expected);
        ASSERT_EQ(codes.scales[static_cast<size_t>(r * codes.groups + c / group)], scale.scale) << name;
        ASSERT_TRUE(std::equal(expected.begin(), expected.end(), codes.codes.begin() + r * columns + c))
            << name;
      }
    }
  }
}

TEST(RoundToTable, BlockFormatsAreAsSpecified) {
  const int64_t rows = 20, columns = 144;
  const std::vector<float> w = RandomWeights<float>(rows, columns, 8);
  for (const char* name : {"mxfp4", "mxfp6-e3m2", "mxfp6-e2m3", "mxfp8-e4m3", "mxfp8-e5m2", "nvfp4"}) {
    const ScalarFormat format = ParseScalarFormat(name);
    const TableCodes ours = RoundToTable(View(w, rows), format);
    const BlockCodes specified = EncodeBlocks(format, w, rows, columns);
    EXPECT_EQ(ours.codes, specified.codes) << name;
    EXPECT_EQ(Dequantize(ours, TableOf(format.alphabet)), DecodeBlocks(format, specified)) << name;
  }
}

TEST(RoundToTable, ImportanceMovesTheScaleTowardsTheColumnsThatMatter) {
  const int64_t rows = 64, columns = 64;
  const std::vector<float> w = RandomWeights<float>(rows, columns, 2);
  std::vector<float> importance(static_cast<size_t>(columns), 0.01f);
  for (size_t c = 0; c < importance.size(); c += 4) importance[c] = 10;
  const ScalarFormat format = ParseScalarFormat("e2m1-g64");
  const Table table = TableOf(format.alphabet);
  const auto error = [&](const TableCodes& codes) {
    const std::vector<float> q = Dequantize(codes, table);
    double sum = 0;
    for (size_t i = 0; i < w.size(); ++i)
      sum += importance[i % importance.size()] * std::pow(double{w[i]} - q[i], 2);
    return sum;
  };
  EXPECT_LT(error(RoundToTable(View(w, rows), format, importance)),
            0.97 * error(RoundToTable(View(w, rows), format)));
}

TEST(RoundToTable, DoesNotDependOnThreads) {
  const int64_t rows = 100, columns = 96;
  const std::vector<float> w = RandomWeights<float>(rows, columns, 3);
  ThreadPool one(1), seven(7);
  const ScalarFormat format = ParseScalarFormat("nvfp4-mse");
  const TableCodes a = RoundToTable(View(w, rows), format, {}, one),
                   b = RoundToTable(View(w, rows), format, {}, seven);
  EXPECT_EQ(a.codes, b.codes);
  EXPECT_EQ(a.scales, b.scales);
}

TEST(RoundToTable, ZerosKeepAUsableScale) {
  const std::vector<float> w(64, 0.0f);
  for (const char* name : kNames) {
    const ScalarFormat format = ParseScalarFormat(name);
    const TableCodes codes = RoundToTable(View(w, 2), format);
    for (const float x : Dequantize(codes, TableOf(format.alphabet))) EXPECT_EQ(x, 0.0f) << name;
    for (const float s : codes.scales) EXPECT_GT(s, 0.0f) << name;
  }
}

TEST(TableGroups, RefuseZeroPoints) {
  EXPECT_THROW(TableGroups<float>(ParseScalarFormat("int4-asym-g32"), 1, 4, 1, {0}), Error);
}

}  // namespace
}  // namespace lowbit
