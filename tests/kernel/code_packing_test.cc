#include "lowbit/kernel/code_packing.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"
#include "lowbit/format/bit_field.h"
#include "lowbit/format/bit_packing.h"
#include "lowbit/format/trit_packing.h"
#include "lowbit/kernel/targets.h"

namespace lowbit {
namespace {

class CodePacking : public testing::TestWithParam<Target> {
 protected:
  void SetUp() override { SetTarget(GetParam()); }
  void TearDown() override { SetTarget(SupportedTargets().back()); }
};
INSTANTIATE_TEST_SUITE_P(Targets, CodePacking, testing::ValuesIn(SupportedTargets()), [](const auto& one) {
  std::string name(NameOf(one.param));
  std::erase(name, '-');
  return name;
});

constexpr size_t kGuard = 64;

TEST_P(CodePacking, BitsAreThePlainStreamAtEveryLength) {
  Random random(1);
  for (int bits = 1; bits <= 8; ++bits) {
    for (size_t count : {0, 1, 7, 8, 9, 31, 32, 33, 64, 95, 127, 128, 200, 1000, 4099}) {
      std::vector<uint8_t> codes(count);
      for (uint8_t& c : codes) c = static_cast<uint8_t>(random.Below(uint64_t{1} << bits));
      std::vector<uint32_t> words((count * static_cast<size_t>(bits) + 31) / 32);
      PackStream(codes, bits, words);
      // Nothing may be written outside, whole vectors or not.
      const size_t size = PackedBytes(count, bits);
      std::vector<uint8_t> bytes(size + kGuard, 0xa5), back(count + kGuard, 0xa5);
      PackBits(codes, bits, std::span(bytes).first(size));
      const auto* stream = reinterpret_cast<const uint8_t*>(words.data());
      ASSERT_TRUE(std::equal(stream, stream + size, bytes.begin())) << bits << " bits, " << count;
      UnpackBits(std::span<const uint8_t>(bytes).first(size), bits, std::span(back).first(count));
      ASSERT_TRUE(std::equal(codes.begin(), codes.end(), back.begin())) << bits << " bits, " << count;
      for (size_t g = 0; g < kGuard; ++g) {
        ASSERT_EQ(bytes[size + g], 0xa5);
        ASSERT_EQ(back[count + g], 0xa5);
      }
    }
  }
}

TEST_P(CodePacking, TernaryIsThePlainPacking) {
  Random random(2);
  for (size_t count : {0, 4, 159, 160, 320, 323, 4000, 4805}) {
    std::vector<uint8_t> codes(count), plain(TritBytes(count)), bytes(plain.size()), back(count);
    for (uint8_t& c : codes) c = static_cast<uint8_t>(random.Below(3));
    PackTrits(codes, plain);
    PackTernary(codes, bytes);
    EXPECT_EQ(bytes, plain);
    UnpackTernary(bytes, back);
    EXPECT_EQ(back, codes);
  }
}

TEST_P(CodePacking, EveryByteOfTritsThroughTheVectors) {
  std::vector<uint8_t> codes(243 * 160), bytes(TritBytes(codes.size())), back(codes.size());
  for (size_t v = 0; v < 243; ++v) {
    for (size_t j = 0; j < 32; ++j) {
      size_t rest = v;
      for (size_t digit = 5; digit-- > 0; rest /= 3)
        codes[v * 160 + digit * 32 + j] = static_cast<uint8_t>(rest % 3);
    }
  }
  PackTernary(codes, bytes);
  for (size_t v = 0; v < 243; ++v) EXPECT_EQ(bytes[v * 32 + 17], (256 * v + 242) / 243);
  UnpackTernary(bytes, back);
  EXPECT_EQ(back, codes);
  int refused = 0;
  std::vector<uint8_t> block(32), out(160);
  for (int b = 0; b < 256; ++b) {
    block[21] = static_cast<uint8_t>(b);
    try {
      UnpackTernary(block, out);
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_EQ(refused, 13);
}

TEST_P(CodePacking, ACodeThatDoesNotFitThrowsWhereverItIs) {
  for (int bits = 1; bits < 8; ++bits) {
    for (size_t where : {0, 63, 64, 98}) {
      std::vector<uint8_t> codes(99), bytes(PackedBytes(99, bits));
      codes[where] = static_cast<uint8_t>(1 << bits);
      EXPECT_THROW(PackBits(codes, bits, bytes), Error);
    }
  }
  std::vector<uint8_t> codes(500), bytes(TritBytes(500));
  for (size_t where : {5, 499}) {
    codes[where] = 3;
    EXPECT_THROW(PackTernary(codes, bytes), Error);
    codes[where] = 0;
  }
  EXPECT_THROW(PackBits(codes, 9, bytes), Error);
  EXPECT_THROW(PackBits(codes, 3, bytes), Error);
  EXPECT_THROW(UnpackTernary(bytes, std::span(codes).first(3)), Error);
}

TEST(BitField, AnyWidthAtAnyPosition) {
  Random random(3);
  std::vector<uint8_t> bytes(40), before;
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random.Next32());
  for (int trial = 0; trial < 3000; ++trial) {
    const int width = 1 + static_cast<int>(random.Below(57));
    const size_t first = random.Below(320 - static_cast<uint64_t>(width) + 1);
    const uint64_t value = random.Next64() >> (64 - width);
    before = bytes;
    WriteBitField(bytes, first, width, value);
    EXPECT_EQ(ReadBitField(bytes, first, width), value);
    for (size_t bit = 0; bit < 320; ++bit) {
      if (bit >= first && bit < first + static_cast<size_t>(width)) {
        ASSERT_EQ(bytes[bit / 8] >> (bit % 8) & 1, static_cast<int>(value >> (bit - first) & 1));
      } else {
        ASSERT_EQ((bytes[bit / 8] ^ before[bit / 8]) >> (bit % 8) & 1, 0);
      }
    }
  }
  EXPECT_THROW(ReadBitField(bytes, 319, 2), Error);
  EXPECT_THROW(ReadBitField(bytes, 0, 58), Error);
  EXPECT_THROW(WriteBitField(bytes, 0, 3, 8), Error);
}

}  // namespace
}  // namespace lowbit
