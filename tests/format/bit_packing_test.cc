#include "lowbit/format/bit_packing.h"

#include <gtest/gtest.h>

#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"

namespace lowbit {
namespace {

class BitPackingTest : public testing::TestWithParam<int> {
 protected:
  // Uniform codes, then codes of both ends only.
  std::vector<std::vector<uint8_t>> Samples(size_t count) const {
    Random random(11, static_cast<uint64_t>(GetParam()));
    std::vector<std::vector<uint8_t>> samples(4, std::vector<uint8_t>(count));
    const auto high = static_cast<uint8_t>((1 << GetParam()) - 1);
    for (size_t k = 0; k < count; ++k) {
      samples[0][k] = static_cast<uint8_t>(random.Below(high + 1u));
      samples[1][k] = random.Below(2) != 0 ? high : uint8_t{0};
      samples[2][k] = high;
    }
    return samples;
  }
};

INSTANTIATE_TEST_SUITE_P(Bits, BitPackingTest, testing::Range(1, 9));

TEST_P(BitPackingTest, StreamIsTheLittleEndianBitString) {
  const int bits = GetParam();
  for (size_t count : {size_t{32}, size_t{96}, size_t{7}, size_t{0}}) {
    for (const auto& codes : Samples(count)) {
      std::vector<uint32_t> words((count * static_cast<size_t>(bits) + 31) / 32);
      PackStream(codes, bits, words);
      for (size_t position = 0; position < 32 * words.size(); ++position) {
        const size_t k = position / static_cast<size_t>(bits);
        const int expected = k < count ? codes[k] >> (position % static_cast<size_t>(bits)) & 1 : 0;
        ASSERT_EQ(words[position / 32] >> (position % 32) & 1, static_cast<uint32_t>(expected)) << position;
      }
      std::vector<uint8_t> back(count, 255);
      UnpackStream(words, bits, back);
      EXPECT_EQ(back, codes);
    }
  }
}

TEST_P(BitPackingTest, PlanesKeepEveryBitInItsPlane) {
  const int bits = GetParam();
  for (const auto& codes : Samples(64)) {
    std::vector<uint32_t> words(static_cast<size_t>(2 * bits));
    PackPlanes(codes, bits, words);
    std::vector<uint8_t> back(64, 255);
    UnpackPlanes(words, bits, back);
    EXPECT_EQ(back, codes);
    if (bits == 3) {  // two words of 2-bit fields, then one of single bits
      for (size_t k = 0; k < 32; ++k) {
        ASSERT_EQ(words[k / 16] >> (2 * (k % 16)) & 3, codes[k] & 3u);
        ASSERT_EQ(words[2] >> k & 1, static_cast<uint32_t>(codes[k] >> 2));
      }
    }
    if (bits == 7) {  // 4 + 2 + 1
      ASSERT_EQ(words[0] & 15, codes[0] & 15u);
      ASSERT_EQ(words[4] & 3, static_cast<uint32_t>(codes[0] >> 4 & 3));
      ASSERT_EQ(words[6] & 1, static_cast<uint32_t>(codes[0] >> 6));
    }
  }
}

TEST_P(BitPackingTest, CodesThatDoNotFitThrow) {
  const int bits = GetParam();
  if (bits == 8) return;  // every byte fits
  std::vector<uint8_t> codes(32, 0);
  codes[13] = static_cast<uint8_t>(1 << bits);
  std::vector<uint32_t> words(static_cast<size_t>(bits));
  EXPECT_THROW(PackStream(codes, bits, words), Error);
  EXPECT_THROW(PackPlanes(codes, bits, words), Error);
}

TEST_P(BitPackingTest, FieldsDoNotStraddleWords) {
  const int bits = GetParam(), fields = 32 / bits;
  Random random(2);
  std::vector<uint32_t> words(3);
  for (uint32_t& word : words) word = random.Next32() | 0x80000000u;
  std::vector<uint8_t> codes(static_cast<size_t>(3 * fields - 1));
  UnpackFields(words, bits, codes);
  for (size_t k = 0; k < codes.size(); ++k) {
    const size_t f = static_cast<size_t>(fields);
    ASSERT_EQ(codes[k], words[k / f] >> (k % f * static_cast<size_t>(bits)) & ((1u << bits) - 1));
  }
}

TEST(BitPackingTest, ThreeBitCodesStraddleAsTheCardSays) {
  std::vector<uint8_t> codes(32, 0);
  codes[10] = 7;
  std::vector<uint32_t> words(3);
  PackStream(codes, 3, words);
  EXPECT_EQ(words, (std::vector<uint32_t>{0xc0000000u, 1, 0}));
  codes[10] = 0;
  codes[21] = 7;
  PackStream(codes, 3, words);
  EXPECT_EQ(words, (std::vector<uint32_t>{0, 0x80000000u, 3}));
}

TEST(BitPackingTest, AwqOrder) {
  std::vector<uint8_t> codes(8);
  UnpackAwq(std::vector<uint32_t>{0xf6543210u}, codes);
  EXPECT_EQ(codes, (std::vector<uint8_t>{0, 4, 1, 5, 2, 6, 3, 15}));
  std::vector<uint32_t> words(1);
  PackAwq(codes, words);
  EXPECT_EQ(words[0], 0xf6543210u);
  std::vector<uint8_t> nine(9);
  EXPECT_THROW(UnpackAwq(std::vector<uint32_t>(2), nine), Error);
}

TEST(BitPackingTest, WrongSizesThrow) {
  std::vector<uint8_t> codes(33);
  std::vector<uint32_t> words(4);
  EXPECT_THROW(PackStream(codes, 3, std::span(words).first(3)), Error);
  EXPECT_THROW(UnpackStream(words, 9, codes), Error);
  EXPECT_THROW(UnpackStream(words, 0, codes), Error);
  EXPECT_THROW(UnpackPlanes(words, 3, codes), Error);
  EXPECT_THROW(PackingUnitOf(0), Error);
}

}  // namespace
}  // namespace lowbit
