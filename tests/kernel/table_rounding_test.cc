#include "lowbit/kernel/table_rounding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "lowbit/base/random.h"
#include "lowbit/format/scalar_format.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

class TableRounding : public testing::TestWithParam<Target> {
 protected:
  void SetUp() override { SetTarget(GetParam()); }
  void TearDown() override { SetTarget(SupportedTargets().back()); }
};
INSTANTIATE_TEST_SUITE_P(Targets, TableRounding, testing::ValuesIn(SupportedTargets()), [](const auto& one) {
  std::string name(NameOf(one.param));
  std::erase(name, '-');
  return name;
});

std::vector<float> Inputs(const Table& table, float scale) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> x = {0.0f, -0.0f, NAN, -NAN, kInfinity, -kInfinity, 1e-40f, -1e-40f, 3e38f, -3e38f};
  for (const auto& values : {table.level, table.threshold}) {
    for (float v : values) {
      for (float near : {v, std::nextafter(v, kInfinity), std::nextafter(v, -kInfinity)})
        x.push_back(near * scale);
    }
  }
  Random random(1);
  for (int i = 0; i < 200; ++i) x.push_back(scale * table.MaxMagnitude() * random.Normal() / 2);
  return x;
}

TEST_P(TableRounding, IsThePlainRounding) {
  for (const std::string& name : ScalarFormatNames()) {
    const Table table = TableOf(ParseScalarFormat(name).alphabet);
    const TableRounder rounder(table);
    for (float scale : {1.0f, 0.3f}) {
      const std::vector<float> x = Inputs(table, scale);
      std::vector<uint8_t> plain(x.size()), codes(x.size());
      RoundToCodes(table, x, scale, plain);
      rounder.Round(x.data(), static_cast<int64_t>(x.size()), scale, codes.data());
      EXPECT_EQ(codes, plain) << name << " at scale " << scale;
      for (int64_t n : {0, 1, 5, 17}) {
        std::vector<uint8_t> few(static_cast<size_t>(n) + 8, 0xa5);
        rounder.Round(x.data(), n, scale, few.data());
        for (size_t i = 0; i < few.size(); ++i) {
          EXPECT_EQ(few[i], i < static_cast<size_t>(n) ? plain[i] : 0xa5);
        }
      }
    }
  }
}

TEST_P(TableRounding, ErrorsAndDecodedValuesAgreeWithThePlainCodes) {
  for (const char* name : {"e2m1", "int8", "nf4", "ternary", "e4m3", "lloyd5-gauss"}) {
    const Table table = TableOf(ParseScalarFormat(name).alphabet);
    const TableRounder rounder(table);
    Random random(2);
    std::vector<float> x(5003), values(x.size()), plain(x.size());
    for (float& v : x) v = random.Normal() * table.MaxMagnitude();
    std::vector<uint8_t> codes(x.size());
    RoundToCodes(table, x, 0.4f, codes);
    DecodeCodes(table, codes, 0.4f, plain);
    rounder.Decode(codes.data(), static_cast<int64_t>(codes.size()), 0.4f, values.data());
    EXPECT_EQ(values, plain);
    double expected = 0;
    for (size_t i = 0; i < x.size(); ++i) expected += std::pow(static_cast<double>(x[i]) - plain[i], 2);
    EXPECT_NEAR(rounder.SquaredError(x.data(), static_cast<int64_t>(x.size()), 0.4f) / expected, 1, 1e-5)
        << name;
    x[77] = NAN;
    EXPECT_TRUE(std::isnan(rounder.SquaredError(x.data(), static_cast<int64_t>(x.size()), 0.4f)));
  }
}

}  // namespace
}  // namespace lowbit
