#include "lowbit/format/format.h"

#include <gtest/gtest.h>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"

namespace lowbit {
namespace {

QuantizedMatrix RandomMatrix(const PackedFormat& format, int64_t rows, int64_t cols, uint64_t seed) {
  Random random(seed);
  QuantizedMatrix m{.format = format, .rows = rows, .cols = cols};
  const auto fill = [&](auto& v, int64_t n, uint64_t below) {
    v.resize(static_cast<size_t>(n));
    for (auto& x : v) x = static_cast<std::decay_t<decltype(x)>>(random.Below(below));
  };
  fill(m.codes, rows * cols, uint64_t{1} << format.bits);
  if (format.scale == ScaleKind::kF16) fill(m.scale, rows * m.groups(), 0x7bff);
  if (format.scale == ScaleKind::kSuper)
    fill(m.sub_scale, rows * m.groups(), NumbersShareByte(format) ? 16 : 256),
        fill(m.super, rows * m.supers(), 0x7bff);
  if (format.offset == OffsetKind::kMinF16) fill(m.min, rows * m.groups(), 0x7bff);
  if (format.offset == OffsetKind::kZeroPoint || format.offset == OffsetKind::kSuperMin) {
    fill(m.zero, rows * m.groups(), NumbersShareByte(format) ? 16 : uint64_t{1} << format.bits);
  }
  if (format.offset == OffsetKind::kSuperMin) fill(m.super_min, rows * m.supers(), 0x7bff);
  return m;
}

TEST(Format, NamesRoundTrip) {
  for (const char* name : {"int2-g32", "int3-g64-asym", "int4-g128", "int8", "int5-asym", "int6-g256", "q4_1",
                           "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "f32", "bf16", "f16"}) {
    EXPECT_EQ(NameOf(ParseFormat(name)), name);
  }
  EXPECT_EQ(NameOf(ParseFormat("q4_0")), "int4-g32");
  EXPECT_EQ(NameOf(ParseFormat("INT4-row")), "int4");
}

TEST(Format, TablesAreNamedLikeTheirAlphabets) {
  for (const char* name : {"e2m1-g32", "nvfp4", "mxfp4", "mxfp8-e4m3", "nf4-g64", "apot4-g128",
                           "ternary-g64-median", "binary-g32", "lloyd3-gauss-g64", "int7-g32"}) {
    const Format format = ParseFormat(name);
    EXPECT_EQ(NameOf(format), name);
    EXPECT_TRUE(std::get<PackedFormat>(format).alphabet) << name;
  }
  EXPECT_FALSE(std::get<PackedFormat>(ParseFormat("int4-g32")).alphabet);
  // 4 bits and a byte for 16; 2 bits and an f16 for 64; a matrix large enough to forget its own scale.
  EXPECT_NEAR(PackedLayout(std::get<PackedFormat>(ParseFormat("nvfp4")), 1024, 1024).bytes * 8 / 1048576.0,
              4.5, 1e-3);
  EXPECT_EQ(
      PackedLayout(std::get<PackedFormat>(ParseFormat("ternary-g64")), 1024, 1024).bytes * 8 / 1048576.0,
      2.25);
  // Names of numbers that have no stored form.
  for (const char* name : {"int4-g33", "nf4-g20", "nf4-f32", "int4-asym-g16"})
    EXPECT_THROW(ParseFormat(name), UsageError);
}

TEST(Format, AWrongNameGetsTheNearest) {
  for (const char* name : {"int4g32", "int9-g32", "q4k", "", "int4-", "int4-g32-x", "nvfp5"}) {
    try {
      ParseFormat(name);
      ADD_FAILURE() << name;
    } catch (const UsageError& error) {
      EXPECT_NE(std::string(error.what()).find("did you mean"), std::string::npos);
    }
  }
}

TEST(Packing, EveryWidthRoundTrips) {
  for (const char* name : {"int2-g32", "int3-g64-asym", "int4-g128", "int5", "int6-g32-asym", "int8-g32",
                           "q4_1", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k"}) {
    const auto format = std::get<PackedFormat>(ParseFormat(name));
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{16, 256}, {17, 300}, {1, 32}, {40, 72}}) {
      const QuantizedMatrix m = RandomMatrix(format, rows, cols, 11);
      const std::vector<uint8_t> bytes = Pack(m);
      const QuantizedMatrix back = Unpack(format, rows, cols, bytes.data(), bytes.size());
      EXPECT_EQ(back.codes, m.codes) << name;
      EXPECT_EQ(back.scale, m.scale) << name;
      EXPECT_EQ(back.sub_scale, m.sub_scale) << name;
      EXPECT_EQ(back.zero, m.zero) << name;
      EXPECT_EQ(back.min, m.min) << name;
      EXPECT_EQ(back.super, m.super) << name;
      EXPECT_EQ(back.super_min, m.super_min) << name;
    }
  }
}

TEST(Packing, BitsAreThoseOfTheLayout) {
  const auto bits = [](const char* name) {
    return static_cast<double>(PackedLayout(std::get<PackedFormat>(ParseFormat(name)), 256, 1024).bytes) * 8 /
           (256 * 1024);
  };
  EXPECT_DOUBLE_EQ(bits("int4-g32"), 4.5);
  EXPECT_DOUBLE_EQ(bits("int4-g128-asym"), 4 + 24.0 / 128);
  EXPECT_DOUBLE_EQ(bits("int3-g64"), 3.25);
  // The block types of GGUF: those whose numbers have 4 or 8 bits take what they take there, numbers of 6
  // bits are kept as bytes.
  EXPECT_DOUBLE_EQ(bits("q2_k"), 2.625);
  EXPECT_DOUBLE_EQ(bits("q3_k"), 3.4375 + 0.125);
  EXPECT_DOUBLE_EQ(bits("q4_k"), 4.5 + 0.125);
  EXPECT_DOUBLE_EQ(bits("q5_k"), 5.5 + 0.125);
  EXPECT_DOUBLE_EQ(bits("q6_k"), 6.5625);
}

TEST(Packing, NumbersThatShareAByteMustFit) {
  const auto format = std::get<PackedFormat>(ParseFormat("q2_k"));
  const QuantizedMatrix good = RandomMatrix(format, 20, 256, 3);
  for (const int wrong : {-1, 16, 127}) {
    QuantizedMatrix m = good;
    m.sub_scale[7] = static_cast<int8_t>(wrong);
    EXPECT_THROW(Pack(m), Error);
    m = good;
    m.zero[7] = static_cast<uint8_t>(wrong);
    EXPECT_THROW(Pack(m), Error);
  }
}

TEST(Packing, ASizeThatDoesNotFitIsRefused) {
  const PackedFormat format{};
  EXPECT_THROW(Unpack(format, 16, 32, nullptr, 3), Error);
  EXPECT_THROW(PackedLayout(format, -1, 32), Error);
  EXPECT_THROW(PackedLayout(PackedFormat{.bits = 7}, 16, 32), Error);
}

}  // namespace
}  // namespace lowbit
