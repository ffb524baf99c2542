#include <algorithm>
#include <cstring>
#include <vector>

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
void UnpackRowOf(const PackedMatrix& m, int64_t row, uint8_t* codes) {
  const uint8_t* tile = m.bytes + m.layout.codes + row / kPanelRows * m.layout.tiles * 64 * kBits;
  for (int64_t t = 0; t < m.layout.tiles; ++t, tile += 64 * kBits) {
    RowOfTile<kBits>(tile, static_cast<int>(row % kPanelRows), codes + t * kTileColumns);
  }
}

}  // namespace

void UnpackRow(const PackedMatrix& m, int64_t row, uint8_t* codes) {
  switch (m.format.bits) {
    case 2:
      return UnpackRowOf<2>(m, row, codes);
    case 3:
      return UnpackRowOf<3>(m, row, codes);
    case 4:
      return UnpackRowOf<4>(m, row, codes);
    case 5:
      return UnpackRowOf<5>(m, row, codes);
    case 6:
      return UnpackRowOf<6>(m, row, codes);
    default:
      return UnpackRowOf<8>(m, row, codes);
  }
}

GroupNumbers NumbersOf(const PackedMatrix& m, int64_t row, int64_t column) {
  const PackedLayout& l = m.layout;
  const IntegerFormat& f = m.format;
  const int64_t panel = row / kPanelRows, r = row % kPanelRows;
  const auto half = [&](size_t section, int64_t index) {
    uint16_t bits;
    std::memcpy(&bits, m.bytes + section + 2 * (index * kPanelRows + r), 2);
    return F16ToFloat(bits);
  };
  const int64_t at = panel * l.groups + (f.group == 0 ? 0 : column / f.group);
  const int64_t super = panel * l.supers + column / kSuperColumns, byte = at * kPanelRows + r;
  GroupNumbers n;
  n.scale = f.scale == ScaleKind::kF16 ? half(l.scale, at)
                                       : half(l.super, super) * static_cast<int8_t>(m.bytes[l.scale + byte]);
  switch (f.offset) {
    case OffsetKind::kCentre:
      n.offset = static_cast<float>(1 << (f.bits - 1));
      break;
    case OffsetKind::kZeroPoint:
      n.offset = m.bytes[l.offset + byte];
      break;
    case OffsetKind::kMinF16:
      n.offset = half(l.offset, at);
      break;
    case OffsetKind::kSuperMin:
      n.offset = -(half(l.super_min, super) * m.bytes[l.offset + byte]);
      break;
  }
  return n;
}

void DequantizeRows(const PackedMatrix& m, int64_t row_begin, int64_t row_end, float* out) {
  const IntegerFormat& f = m.format;
  const int64_t width = f.group == 0 ? m.cols : f.group;
  const bool about_zero = f.offset == OffsetKind::kCentre || f.offset == OffsetKind::kZeroPoint;
  std::vector<uint8_t> codes(static_cast<size_t>(m.layout.tiles * kTileColumns));
  for (int64_t row = row_begin; row < row_end; ++row, out += m.cols) {
    UnpackRow(m, row, codes.data());
    for (int64_t begin = 0; begin < m.cols; begin += width) {
      const auto [scale, offset] = NumbersOf(m, row, begin);
      const int64_t end = std::min(m.cols, begin + width);
      if (about_zero) {
        for (int64_t c = begin; c < end; ++c) out[c] = scale * (static_cast<float>(codes[c]) - offset);
      } else {
        for (int64_t c = begin; c < end; ++c) out[c] = scale * static_cast<float>(codes[c]) + offset;
      }
    }
  }
}

}  // namespace lowbit
