// The packed layout read in plain C++: one row of one tile, its scale and offset. For machines without
// vectors, single rows (embedding look-up) and as the reference of the fast kernels.
#pragma once

#include <cstdint>
#include <cstring>

#include "lowbit/base/float16.h"
#include "lowbit/kernel/packed_matrix.h"

namespace lowbit {

// The 32 codes of row `row` (0..15) of a tile of `bits`-bit codes. A row owns one 32-bit word, four columns,
// of every 64-byte vector.
inline void RowOfTile(int bits, const uint8_t* tile, int row, uint8_t* codes) {
  const auto word = [&](int vector) {
    uint32_t w;
    std::memcpy(&w, tile + 64 * vector + 4 * row, 4);
    return w;
  };
  for (int q = 0; q < 8; ++q) {
    uint32_t four;
    if (bits == 8) {
      four = word(q);
    } else if (bits == 1) {
      four = (word(0) >> q) & 0x01010101u;
    } else if (bits <= 3) {
      four = (word(q % 2) >> (q / 2 * 2)) & 0x03030303u;
      if (bits == 3) four |= ((word(2) >> q) & 0x01010101u) << 2;
    } else {
      four = (word(q % 4) >> (q / 4 * 4)) & 0x0f0f0f0fu;
      if (bits == 5) four |= ((word(4) >> q) & 0x01010101u) << 4;
      if (bits == 6) four |= ((word(4 + q % 2) >> (q / 2 * 2)) & 0x03030303u) << 4;
    }
    std::memcpy(codes + 4 * q, &four, 4);
  }
}

// The numbers of one (row, group). `offset`: the centre, the zero point, or the minimum (format.h); 0 with a
// table.
struct GroupNumbers {
  float scale, offset;
};

inline GroupNumbers NumbersOf(const PackedMatrix& m, int64_t row, int64_t group) {
  const PackedLayout& l = m.layout;
  const PackedFormat& f = m.format;
  const int64_t panel = row / kPanelRows, r = row % kPanelRows;
  const int64_t at = (panel * l.groups + group) * kPanelRows + r;
  const int64_t super = (panel * l.supers + group * f.group / kSuperColumns) * kPanelRows + r;
  const auto half = [&](size_t section, int64_t index) {
    uint16_t bits;
    std::memcpy(&bits, m.bytes + section + 2 * index, 2);
    return F16ToFloat(bits);
  };
  GroupNumbers n{};
  if (NumbersShareByte(f)) {
    const int numbers = m.bytes[l.scale + at];
    n.scale = half(l.super, super) * static_cast<float>(numbers & 15);
    n.offset = -(half(l.super_min, super) * static_cast<float>(numbers >> 4));
    return n;
  }
  n.scale = f.scale == ScaleKind::kF16     ? half(l.scale, at)
            : f.scale == ScaleKind::kSuper ? half(l.super, super) * static_cast<int8_t>(m.bytes[l.scale + at])
                                           : ScaleOfByte(f.scale, m.bytes[l.scale + at], m.tensor_scale);
  switch (f.offset) {
    case OffsetKind::kCentre:
      n.offset = static_cast<float>(1 << (f.bits - 1));
      break;
    case OffsetKind::kZeroPoint:
      n.offset = m.bytes[l.offset + at];
      break;
    case OffsetKind::kMinF16:
      n.offset = half(l.offset, at);
      break;
    case OffsetKind::kSuperMin:
      n.offset = -(half(l.super_min, super) * m.bytes[l.offset + at]);
      break;
    case OffsetKind::kTable:
      break;
  }
  return n;
}

}  // namespace lowbit
