#include <algorithm>

#include "lowbit/kernel/packed_matrix.h"
#include "lowbit/kernel/plain_codes.h"

namespace lowbit {
namespace {

template <int kBits>
void DequantizeRow(const PackedMatrix& m, int64_t row, float* out) {
  const PackedFormat& f = m.format;
  const uint8_t* tile = m.bytes + m.layout.codes + row / kPanelRows * m.layout.tiles * 64 * kBits;
  const int64_t width = f.group == 16 ? 16 : kTileColumns;
  const bool subtract = f.offset == OffsetKind::kCentre || f.offset == OffsetKind::kZeroPoint;
  alignas(64) uint8_t codes[kTileColumns];
  int64_t known = -1;
  GroupNumbers numbers{};
  for (int64_t column = 0; column < m.cols; column += width) {
    if (column % kTileColumns == 0) {
      RowOfTile(kBits, tile, static_cast<int>(row % kPanelRows), codes);
      tile += 64 * kBits;
    }
    const int64_t group = f.group == 0 ? 0 : column / f.group;
    if (group != known) numbers = NumbersOf(m, row, known = group);
    const uint8_t* from = codes + column % kTileColumns;
    float* to = out + column;
    const int64_t count = std::min(width, m.cols - column);
    if (m.table != nullptr) {
      for (int64_t c = 0; c < count; ++c) to[c] = numbers.scale * m.table->value[from[c]];
    } else if (subtract) {
      for (int64_t c = 0; c < count; ++c)
        to[c] = numbers.scale * (static_cast<float>(from[c]) - numbers.offset);
    } else {
      for (int64_t c = 0; c < count; ++c)
        to[c] = numbers.scale * static_cast<float>(from[c]) + numbers.offset;
    }
  }
}

}  // namespace

void DequantizeRows(const PackedMatrix& m, int64_t row_begin, int64_t row_end, float* out) {
  for (int64_t row = row_begin; row < row_end; ++row, out += m.cols) {
    switch (m.format.bits) {
      case 1:
        DequantizeRow<1>(m, row, out);
        break;
      case 2:
        DequantizeRow<2>(m, row, out);
        break;
      case 3:
        DequantizeRow<3>(m, row, out);
        break;
      case 4:
        DequantizeRow<4>(m, row, out);
        break;
      case 5:
        DequantizeRow<5>(m, row, out);
        break;
      case 6:
        DequantizeRow<6>(m, row, out);
        break;
      default:
        DequantizeRow<8>(m, row, out);
        break;
    }
  }
}

}  // namespace lowbit
