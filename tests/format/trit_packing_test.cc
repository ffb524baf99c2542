#include "lowbit/format/trit_packing.h"

#include <gtest/gtest.h>

#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"

namespace lowbit {
namespace {

TEST(TritPacking, EveryLengthComesBackInEightFifthsOfABit) {
  Random random(1);
  for (size_t count : {0, 1, 4, 5, 6, 31, 159, 160, 161, 320, 1000, 4096}) {
    std::vector<uint8_t> codes(count), bytes(TritBytes(count)), back(count, 9);
    for (uint8_t& c : codes) c = static_cast<uint8_t>(random.Below(3));
    PackTrits(codes, bytes);
    UnpackTrits(bytes, back);
    EXPECT_EQ(back, codes);
    EXPECT_LE(bytes.size(), (count + 4) / 5 + 1);
  }
}

TEST(TritPacking, AllFiveTritBytes) {
  std::vector<bool> seen(256);
  for (unsigned v = 0; v < 243; ++v) {
    const std::vector<uint8_t> codes = {static_cast<uint8_t>(v / 81), static_cast<uint8_t>(v / 27 % 3),
                                        static_cast<uint8_t>(v / 9 % 3), static_cast<uint8_t>(v / 3 % 3),
                                        static_cast<uint8_t>(v % 3)};
    std::vector<uint8_t> byte(1), back(5);
    PackTrits(codes, byte);
    EXPECT_FALSE(seen[byte[0]]);
    seen[byte[0]] = true;
    UnpackTrits(byte, back);
    EXPECT_EQ(back, codes);
  }
  int refused = 0;
  for (unsigned b = 0; b < 256; ++b) {
    std::vector<uint8_t> back(5);
    if (seen[b]) continue;
    EXPECT_THROW(UnpackTrits(std::vector<uint8_t>{static_cast<uint8_t>(b)}, back), Error);
    ++refused;
  }
  EXPECT_EQ(refused, 13);
}

TEST(TritPacking, WrongCodesAndSizesThrow) {
  std::vector<uint8_t> bytes(1);
  EXPECT_THROW(PackTrits(std::vector<uint8_t>{0, 3}, bytes), Error);
  EXPECT_THROW(PackTrits(std::vector<uint8_t>(6), bytes), Error);
}

}  // namespace
}  // namespace lowbit
