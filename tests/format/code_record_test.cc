#include "lowbit/format/code_record.h"

#include <gtest/gtest.h>

#include <vector>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"

namespace lowbit {
namespace {

TEST(CodeRecord, RoundTripsEveryWidth) {
  Random random(1);
  for (const std::vector<int>& widths : std::vector<std::vector<int>>{
           {8}, {4, 4, 4}, {16, 16, 16, 4}, {1, 0, 3, 11, 16, 5}, {0}, {12, 12, 12}}) {
    const auto record = CodeRecordBytes(widths);
    const int64_t n = 37, m = static_cast<int64_t>(widths.size());
    std::vector<uint16_t> codes(static_cast<size_t>(n * m)), back(codes.size(), 9);
    for (size_t i = 0; i < codes.size(); ++i)
      codes[i] = static_cast<uint16_t>(random.Below(uint64_t{1} << widths[i % widths.size()]));
    std::vector<uint8_t> bytes(static_cast<size_t>(n * record), 0xff);
    PackCodeRecords({codes.data(), n, m}, widths, bytes);
    UnpackCodeRecords(bytes, widths, {back.data(), n, m});
    EXPECT_EQ(codes, back);
  }
}

TEST(CodeRecord, LiesAsDocumented) {
  const std::vector<int> widths = {4, 12, 1};
  const std::vector<uint16_t> codes = {0x5, 0xabc, 1};
  std::vector<uint8_t> bytes(3, 0xff);
  EXPECT_EQ(CodeRecordBytes(widths), 3);
  PackCodeRecords({codes.data(), 1, 3}, widths, bytes);
  EXPECT_EQ(bytes, (std::vector<uint8_t>{0xc5, 0xab, 0x01}));
}

TEST(CodeRecord, RefusesWhatDoesNotFit) {
  std::vector<uint16_t> codes = {3, 4};
  std::vector<uint8_t> bytes(1);
  const std::vector<int> widths = {2, 2}, wide = {17};
  EXPECT_THROW(PackCodeRecords({codes.data(), 1, 2}, widths, bytes), Error);  // 4 needs three bits
  codes[1] = 1;
  PackCodeRecords({codes.data(), 1, 2}, widths, bytes);
  EXPECT_THROW(PackCodeRecords({codes.data(), 2, 1}, widths, bytes), Error);
  EXPECT_THROW(UnpackCodeRecords(bytes, widths, {codes.data(), 2, 1}), Error);
  EXPECT_THROW(CodeRecordBytes(wide), Error);
}

}  // namespace
}  // namespace lowbit
