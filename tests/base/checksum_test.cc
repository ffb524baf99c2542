#include "lowbit/base/checksum.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace lowbit {
namespace {

uint64_t Of(std::string_view text) {
  return Checksum(std::as_bytes(std::span(text)));
}

// The test values of xxHash, below and above a stripe of 32 bytes.
TEST(Checksum, IsXxh64) {
  EXPECT_EQ(Of(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(Of("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(Of("abc"), 0x44BC2CF5AD770999u);
  EXPECT_EQ(Of("Nobody inspects the spammish repetition"), 0xFBCEA83C8A378BF1u);
}

TEST(Checksum, SeesEveryBit) {
  for (const size_t size : {1u, 7u, 32u, 45u, 100u}) {
    std::vector<std::byte> bytes(size, std::byte{0x5a});
    const uint64_t whole = Checksum(bytes);
    for (size_t bit = 0; bit < 8 * size; ++bit) {
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
      EXPECT_NE(Checksum(bytes), whole) << size << ' ' << bit;
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    }
    EXPECT_EQ(Checksum(bytes), whole);
  }
}

}  // namespace
}  // namespace lowbit
