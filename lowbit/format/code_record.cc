#include "lowbit/format/code_record.h"

#include <algorithm>

#include "lowbit/base/error.h"
#include "lowbit/format/bit_field.h"

namespace lowbit {
namespace {

int64_t CheckedRecordBytes(int64_t points, int64_t codes, std::span<const int> widths, size_t bytes) {
  const int64_t record = CodeRecordBytes(widths);
  if (codes != static_cast<int64_t>(widths.size()) || static_cast<int64_t>(bytes) != points * record)
    Fail("{} bytes for {} records of {} codes: {} codes of {} bytes a record are described", bytes, points,
         codes, widths.size(), record);
  return record;
}

}  // namespace

int64_t CodeRecordBytes(std::span<const int> widths) {
  int64_t bits = 0;
  for (const int width : widths) {
    if (width < 0 || width > 16) Fail("a code of {} bits in a record: 0 to 16 are possible", width);
    bits += width;
  }
  return (bits + 7) / 8;
}

void PackCodeRecords(MatrixView<const uint16_t> codes, std::span<const int> widths,
                     std::span<uint8_t> bytes) {
  const auto record = static_cast<size_t>(CheckedRecordBytes(codes.rows, codes.cols, widths, bytes.size()));
  std::fill(bytes.begin(), bytes.end(), uint8_t{0});
  for (int64_t p = 0; p < codes.rows; ++p) {
    const std::span<uint8_t> own = bytes.subspan(static_cast<size_t>(p) * record, record);
    size_t bit = 0;
    for (int64_t m = 0; m < codes.cols; ++m) {
      const int width = widths[static_cast<size_t>(m)];
      if (codes(p, m) >> width != 0)
        Fail("code {} of point {} is {}: its field has {} bits", m, p, codes(p, m), width);
      if (width > 0) WriteBitField(own, bit, width, codes(p, m));
      bit += static_cast<size_t>(width);
    }
  }
}

void UnpackCodeRecords(std::span<const uint8_t> bytes, std::span<const int> widths,
                       MatrixView<uint16_t> codes) {
  const auto record = static_cast<size_t>(CheckedRecordBytes(codes.rows, codes.cols, widths, bytes.size()));
  for (int64_t p = 0; p < codes.rows; ++p) {
    const std::span<const uint8_t> own = bytes.subspan(static_cast<size_t>(p) * record, record);
    size_t bit = 0;
    for (int64_t m = 0; m < codes.cols; ++m) {
      const int width = widths[static_cast<size_t>(m)];
      codes(p, m) = width == 0 ? uint16_t{0} : static_cast<uint16_t>(ReadBitField(own, bit, width));
      bit += static_cast<size_t>(width);
    }
  }
}

}  // namespace lowbit
