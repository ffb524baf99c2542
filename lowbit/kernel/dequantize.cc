#include <algorithm>
#include <cstring>

#include "lowbit/base/float16.h"
#include "lowbit/kernel/packed_matrix.h"

namespace lowbit {
namespace {

// The 32 codes of one row of a tile, four at a time: a lane of the tile's vectors is a 32-bit word of a row.
template <int kBits>
void RowOfTile(const uint8_t* tile, int row, uint8_t* codes) {
  const auto lane = [&](int vector) {
    uint32_t word;
    std::memcpy(&word, tile + 64 * vector + 4 * row, 4);
    return word;
  };
  for (int q = 0; q < 8; ++q) {
    uint32_t four;
    if constexpr (kBits == 8) {
      four = lane(q);
    } else if constexpr (kBits == 2 || kBits == 3) {
      four = (lane(q % 2) >> (q / 2 * 2)) & 0x03030303u;
      if constexpr (kBits == 3) four |= ((lane(2) >> q) & 0x01010101u) << 2;
    } else {
      four = (lane(q % 4) >> (q / 4 * 4)) & 0x0f0f0f0fu;
      if constexpr (kBits == 5) four |= ((lane(4) >> q) & 0x01010101u) << 4;
      if constexpr (kBits == 6) four |= ((lane(4 + q % 2) >> (q / 2 * 2)) & 0x03030303u) << 4;
    }
    std::memcpy(codes + 4 * q, &four, 4);
  }
}

template <int kBits>
void DequantizeRow(const PackedMatrix& m, int64_t row, float* out) {
  const PackedLayout& l = m.layout;
  const IntegerFormat& f = m.format;
  const int64_t panel = row / kPanelRows, width = std::min<int64_t>(kTileColumns, f.group == 0 ? 32 : f.group);
  const auto r = static_cast<int>(row % kPanelRows);
  const auto half = [&](size_t section, int64_t index) {
    uint16_t bits;
    std::memcpy(&bits, m.bytes + section + 2 * (index * kPanelRows + r), 2);
    return F16ToFloat(bits);
  };
  const uint8_t* tile = m.bytes + l.codes + panel * l.tiles * 64 * kBits;
  alignas(64) uint8_t codes[kTileColumns];
  int64_t known = -1;  // the group whose numbers are at hand
  float a = 0, offset = 0;
  for (int64_t t = 0; t < l.tiles; ++t, tile += 64 * kBits) {
    RowOfTile<kBits>(tile, r, codes);
    for (int64_t from = 0; from < kTileColumns; from += width) {
      const int64_t column = t * kTileColumns + from, stop = std::min(width, m.cols - column);
      if (stop <= 0) break;
      const int64_t group = f.group == 0 ? 0 : column / f.group;
      if (group != known) {
        known = group;
        const int64_t at = panel * l.groups + group, super = panel * l.supers + column / kSuperColumns;
        const int64_t byte = at * kPanelRows + r;
        a = f.scale == ScaleKind::kF16 ? half(l.scale, at)
                                       : half(l.super, super) * static_cast<int8_t>(m.bytes[l.scale + byte]);
        if (f.offset == OffsetKind::kCentre) offset = static_cast<float>(1 << (kBits - 1));
        if (f.offset == OffsetKind::kZeroPoint) offset = m.bytes[l.offset + byte];
        if (f.offset == OffsetKind::kMinF16) offset = half(l.offset, at);
        if (f.offset == OffsetKind::kSuperMin) offset = -(half(l.super_min, super) * m.bytes[l.offset + byte]);
      }
      float* to = out + column;
      if (f.offset == OffsetKind::kCentre || f.offset == OffsetKind::kZeroPoint) {
        for (int64_t c = 0; c < stop; ++c) to[c] = a * (static_cast<float>(codes[from + c]) - offset);
      } else {
        for (int64_t c = 0; c < stop; ++c) to[c] = a * static_cast<float>(codes[from + c]) + offset;
      }
    }
  }
}

}  // namespace

void DequantizeRows(const PackedMatrix& m, int64_t row_begin, int64_t row_end, float* out) {
  for (int64_t row = row_begin; row < row_end; ++row, out += m.cols) {
    switch (m.format.bits) {
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
