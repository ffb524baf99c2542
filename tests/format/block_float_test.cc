// Small floats and block formats against ml_dtypes, bit for bit; fixtures by scripts/make_float_fixtures.py.
#include "lowbit/format/block_float.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/format/tensor_floats.h"
#include "lowbit/io/safetensors.h"

namespace lowbit {
namespace {

class Fixtures {
 public:
  std::vector<float> Floats(const std::string& name) const { return TensorToFloats(file_, name); }
  std::vector<uint8_t> Bytes(const std::string& name) const {
    const auto bytes = file_.Get(name).bytes;
    std::vector<uint8_t> out(bytes.size());
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  }

 private:
  SafetensorsFile file_{LOWBIT_SOURCE_DIR "/tests/format/data/small_floats.safetensors"};
};

void ExpectSameBits(float a, float b, const std::string& where) {
  if (std::isnan(a) && std::isnan(b)) return;
  EXPECT_EQ(std::bit_cast<uint32_t>(a), std::bit_cast<uint32_t>(b)) << where << ": " << a << " and " << b;
}

class SmallFloat : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Types, SmallFloat, testing::Values("e2m1", "e2m3", "e3m2", "e4m3", "e5m2"));

TEST_P(SmallFloat, EveryCodeAndEveryRoundingAgree) {
  const Fixtures fixtures;
  const std::string name = GetParam();
  const FloatGrid grid = ParseScalarFormat(name).alphabet.grid;
  const Table table = FloatTable(grid);
  const std::vector<float> values = fixtures.Floats(name + ".values");
  ASSERT_EQ(values.size(), table.value.size());
  for (size_t c = 0; c < values.size(); ++c)
    ExpectSameBits(table.value[c], values[c], fmt::format("code {}", c));
  const std::vector<float> inputs = fixtures.Floats(name + ".inputs");
  const std::vector<uint8_t> codes = fixtures.Bytes(name + ".codes");
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ(EncodeFloat(grid, table, inputs[i], Overflow::kSpecial), codes[i]) << inputs[i];
    if (std::abs(inputs[i]) <= table.MaxMagnitude()) {
      EXPECT_EQ(RoundToCode(table, inputs[i]), codes[i]) << inputs[i];
    } else {
      EXPECT_EQ(table.value[RoundToCode(table, inputs[i])], std::copysign(table.MaxMagnitude(), inputs[i]));
    }
  }
}

TEST(SmallFloat, PowersOfTwo) {
  const std::vector<float> values = Fixtures().Floats("e8m0.values");
  for (size_t c = 0; c < values.size(); ++c) {
    ExpectSameBits(E8M0ToFloat(static_cast<uint8_t>(c)), values[c], fmt::format("code {}", c));
    EXPECT_EQ(E8M0OfExponent(FloorLog2(values[c])), c);
  }
  EXPECT_TRUE(std::isnan(E8M0ToFloat(255)));
  EXPECT_EQ(FloorLog2(1.999f), 0);
}

TEST(SmallFloat, ABiasShiftsEveryLevel) {
  const Table table = TableOf(ParseScalarFormat("e2m1").alphabet),
              half = TableOf(ParseScalarFormat("e2m1-bias2").alphabet);
  for (size_t c = 0; c < 16; ++c) EXPECT_EQ(half.value[c] * 2, table.value[c]);
  EXPECT_THROW(FloatTable({.exponent = 7, .mantissa = 0, .bias = -60}), Error);
  EXPECT_THROW(FloatTable({.exponent = 5, .mantissa = 3}), Error);
}

class BlockFormat : public testing::TestWithParam<const char*> {
 protected:
  const ScalarFormat format_ = ParseScalarFormat(GetParam());
};
INSTANTIATE_TEST_SUITE_P(Formats, BlockFormat,
                         testing::Values("mxfp4", "mxfp6-e2m3", "mxfp6-e3m2", "mxfp8-e4m3", "mxfp8-e5m2",
                                         "nvfp4"));

TEST_P(BlockFormat, ScalesCodesAndValuesAgree) {
  const Fixtures fixtures;
  const std::string name = GetParam();
  const std::vector<float> x = fixtures.Floats("x"), values = fixtures.Floats(name + ".values");
  const BlockCodes blocks = EncodeBlocks(format_, x, 4, 72);
  if (name == "nvfp4")
    ExpectSameBits(blocks.tensor_scale, fixtures.Floats("nvfp4.tensor")[0], "tensor scale");
  EXPECT_EQ(blocks.scales, fixtures.Bytes(name + ".scales"));
  EXPECT_EQ(blocks.codes, fixtures.Bytes(name + ".codes"));
  const std::vector<float> decoded = DecodeBlocks(format_, blocks);
  for (size_t i = 0; i < values.size(); ++i)
    ExpectSameBits(decoded[i], values[i], fmt::format("value {}", i));
}

TEST_P(BlockFormat, APowerOfTwoMovesTheScaleAlone) {
  std::vector<float> x(256);
  Random random(8);
  for (float& v : x) v = random.Normal();
  const BlockCodes one = EncodeBlocks(format_, x, 4, 64);
  for (float& v : x) v *= 32;
  const BlockCodes other = EncodeBlocks(format_, x, 4, 64);
  EXPECT_EQ(one.codes, other.codes);
  if (format_.scale == ScaleFormat::kE4M3) {
    EXPECT_EQ(one.scales, other.scales);
    EXPECT_EQ(one.tensor_scale * 32, other.tensor_scale);
  } else {
    for (size_t b = 0; b < one.scales.size(); ++b) EXPECT_EQ(one.scales[b] + 5, other.scales[b]);
  }
}

TEST_P(BlockFormat, ZerosAndValuesThatAreNotFinite) {
  std::vector<float> x(96, 0.0f);
  for (float v : DecodeBlocks(format_, EncodeBlocks(format_, x, 2, 48))) EXPECT_EQ(v, 0);
  x[50] = 3;
  x[2] = std::numeric_limits<float>::infinity();
  const std::vector<float> values = DecodeBlocks(format_, EncodeBlocks(format_, x, 2, 48));
  EXPECT_TRUE(std::isnan(values[2]));  // its block
  EXPECT_EQ(values[47], 0);
  EXPECT_NEAR(values[50], 3, 0.25);
}

TEST(BlockFormat, CeilingNeverSaturatesAndEvenRoundsFirst) {
  const ScalarFormat format = ParseScalarFormat("mxfp4");
  std::vector<float> x(32, 0.1f);
  x[0] = 7.5f;
  EXPECT_EQ(DecodeBlocks(format, EncodeBlocks(format, x, 1, 32))[0], 6);
  EXPECT_EQ(DecodeBlocks(format, EncodeBlocks(format, x, 1, 32, {.exponent = SharedExponent::kCeil}))[0], 8);
  EXPECT_EQ(DecodeBlocks(format, EncodeBlocks(format, x, 1, 32, {.exponent = SharedExponent::kEven}))[0], 8);
  x[0] = 6.0f;
  EXPECT_EQ(DecodeBlocks(format, EncodeBlocks(format, x, 1, 32, {.exponent = SharedExponent::kCeil}))[0], 6);
}

TEST(BlockFormat, Int8CountsSixtyFourths) {
  const ScalarFormat format = ParseScalarFormat("mxint8");
  std::vector<float> x(32);
  for (size_t i = 0; i < 32; ++i) x[i] = static_cast<float>(static_cast<int>(i) - 16) / 16;
  const BlockCodes blocks = EncodeBlocks(format, x, 1, 32);
  EXPECT_EQ(blocks.scales[0], 127);
  EXPECT_EQ(blocks.codes[0], 0xc0);  // -64 / 64
  EXPECT_EQ(DecodeBlocks(format, blocks), x);
}

TEST(BlockFormat, WrongSizesThrow) {
  std::vector<float> x(64);
  EXPECT_THROW(EncodeBlocks(ParseScalarFormat("mxfp4"), x, 1, 65), Error);
  EXPECT_THROW(EncodeBlocks(ParseScalarFormat("e2m1-g32"), x, 1, 64), Error);
  BlockCodes blocks = EncodeBlocks(ParseScalarFormat("mxfp4"), x, 1, 64);
  blocks.scales.pop_back();
  EXPECT_THROW(DecodeBlocks(ParseScalarFormat("mxfp4"), blocks), Error);
}

}  // namespace
}  // namespace lowbit
