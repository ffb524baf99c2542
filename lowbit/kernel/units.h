// Units: the runs of columns over which kernels apply one weight scale. A unit is 16, 32, 64 or 128 columns,
// never crosses a group of the format nor a block of 128 activations, and has its own 16 scales a panel.
#pragma once

#include <cstdint>

#include "lowbit/kernel/packed_matrix.h"

namespace lowbit {

// log2(columns / 16) of the format's unit: its group where that divides 128, 128 for wider groups and whole
// rows (multiples of 128), otherwise 32.
constexpr int UnitLevel(const PackedFormat& format) {
  if (format.group % 128 == 0) return 3;
  return format.group == 16 ? 0 : format.group == 64 ? 2 : 1;
}
constexpr int UnitColumns(int level) {
  return 16 << level;
}

// True when the kernels fold the offset into the integer dot product.
constexpr bool IsCentred(const PackedFormat& format) {
  return format.offset == OffsetKind::kCentre || format.offset == OffsetKind::kTable;
}
// What is subtracted from the byte of a code that kernels multiply, for the formats that fold it.
inline int CentreOf(const PackedMatrix& w) {
  return w.table != nullptr ? w.table->centre : 1 << (w.format.bits - 1);
}

// Whether the sub-scales of a super-scale multiply integer sums, which become floats once for a block of 128
// columns: where the sums of 16 products fit 16 bits, which makes it one instruction.
constexpr bool ScalesIntegers(int bits, ScaleKind scale, OffsetKind offset) {
  return scale == ScaleKind::kSuper && 16 * 127 * ((1 << bits) - 1) < 32768 &&
         (offset == OffsetKind::kCentre || offset == OffsetKind::kSuperMin);
}

// Units of a row that kernels visit: they walk whole tiles, so the last units may hold padding only.
constexpr int64_t UnitsOf(const PackedMatrix& w, int level) {
  return (w.layout.tiles * kTileColumns + UnitColumns(level) - 1) / UnitColumns(level);
}

// The group that holds unit `unit`.
constexpr int64_t GroupOfUnit(const PackedFormat& format, int level, int64_t unit) {
  return format.group == 0 ? 0 : unit * UnitColumns(level) / format.group;
}

// Thread-local scratch of at least `bytes`, 64-byte aligned, that grows and is reused. Contents are
// undefined.
uint8_t* KernelScratch(size_t bytes);

}  // namespace lowbit
