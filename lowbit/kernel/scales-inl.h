// Scales and offsets of a panel, decoded to 16 floats a unit.

#if defined(LOWBIT_KERNEL_SCALES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOWBIT_KERNEL_SCALES_INL_H_
#undef LOWBIT_KERNEL_SCALES_INL_H_
#else
#define LOWBIT_KERNEL_SCALES_INL_H_
#endif

#include "lowbit/kernel/panel-inl.h"
#include "lowbit/kernel/units.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
#if LOWBIT_VECTOR_TARGET

// The f32 scales of (panel, group); exact, as a sub-scale of 8 bits times an f16 fits 24 bits.
HWY_INLINE Floats ScaleOf(const PackedMatrix& w, int64_t panel, int64_t group) {
  const int64_t at = panel * w.layout.groups + group;
  if (w.format.scale == ScaleKind::kF16) return LoadF16(w.bytes + w.layout.scale + at * 32);
  if (w.format.scale == ScaleKind::kE8M0) return LoadE8M0(w.bytes + w.layout.scale + at * 16);
  if (w.format.scale == ScaleKind::kE4M3)
    return Mul(SetFloats(w.tensor_scale), LoadE4M3(w.bytes + w.layout.scale + at * 16));
  const int64_t super = panel * w.layout.supers + group * w.format.group / kSuperColumns;
  const uint8_t* sub = w.bytes + w.layout.scale + at * 16;
  return Mul(LoadF16(w.bytes + w.layout.super + super * 32),
             NumbersShareByte(w.format) ? LoadU4<0>(sub) : LoadI8(sub));
}

// The zero points of kZeroPoint, or the minima of kMinF16 and kSuperMin (negative of dmin * submin).
HWY_INLINE Floats OffsetOf(const PackedMatrix& w, int64_t panel, int64_t group) {
  const int64_t at = panel * w.layout.groups + group;
  switch (w.format.offset) {
    case OffsetKind::kCentre:
      return SetFloats(static_cast<float>(1 << (w.format.bits - 1)));
    case OffsetKind::kZeroPoint:
      return LoadU8(w.bytes + w.layout.offset + at * 16);
    case OffsetKind::kMinF16:
      return LoadF16(w.bytes + w.layout.offset + at * 32);
    case OffsetKind::kTable:
      return ZeroFloats();
    default:
      break;
  }
  const int64_t super = panel * w.layout.supers + group * w.format.group / kSuperColumns;
  const Floats sub = NumbersShareByte(w.format) ? LoadU4<4>(w.bytes + w.layout.scale + at * 16)
                                                : LoadU8(w.bytes + w.layout.offset + at * 16);
  return Negate(Mul(LoadF16(w.bytes + w.layout.super_min + super * 32), sub));
}

// scale[u][16] and, unless the format is centred, minimum[u][16] for `count` units of `panel` from `unit` on:
// value = scale * code + minimum. Units past the last group (the second half of a last tile) get zeros.
HWY_INLINE void DecodeScales(const PackedMatrix& w, int level, int64_t panel, int64_t unit, int64_t count,
                             float* scale, float* minimum) {
  const bool centred = IsCentred(w.format), zero_point = w.format.offset == OffsetKind::kZeroPoint;
  for (int64_t u = 0; u < count; ++u) {
    const int64_t group = GroupOfUnit(w.format, level, unit + u);
    if (HWY_UNLIKELY(group >= w.layout.groups)) {
      StoreFloats(ZeroFloats(), scale + u * 16);
      if (!centred) StoreFloats(ZeroFloats(), minimum + u * 16);
      continue;
    }
    Floats s = ScaleOf(w, panel, group);
    if (w.table != nullptr) s = Mul(s, SetFloats(w.table->unit));
    StoreFloats(s, scale + u * 16);
    if (centred) continue;
    const Floats offset = OffsetOf(w, panel, group);
    StoreFloats(zero_point ? Negate(Mul(s, offset)) : offset, minimum + u * 16);
  }
}

// The same for formats that ScalesIntegers holds of: sub-scales and sub-minima of the units, and both
// super-scales of each 128 columns from `unit` on: value = super * scale * code - super_min * minimum.
HWY_INLINE void DecodeSubScales(const PackedMatrix& w, int level, int64_t panel, int64_t unit, int64_t count,
                                int32_t* scale, int32_t* minimum, float* super, float* super_min) {
  const bool centred = IsCentred(w.format), joined = NumbersShareByte(w.format);
  const int64_t units_of_block = kActivationBlock / UnitColumns(level);
  for (int64_t u = 0; u < count; ++u) {
    const int64_t group = GroupOfUnit(w.format, level, unit + u);
    if (u % units_of_block == 0) {
      const int64_t at = panel * w.layout.supers + group * w.format.group / kSuperColumns;
      const int64_t block = u / units_of_block;
      StoreFloats(LoadF16(w.bytes + w.layout.super + at * 32), super + block * 16);
      if (!centred) StoreFloats(LoadF16(w.bytes + w.layout.super_min + at * 32), super_min + block * 16);
    }
    if (HWY_UNLIKELY(group >= w.layout.groups)) {
      StoreInts(ZeroInts(), scale + u * 16);
      if (!centred) StoreInts(ZeroInts(), minimum + u * 16);
      continue;
    }
    const int64_t at = (panel * w.layout.groups + group) * 16;
    const uint8_t* sub = w.bytes + w.layout.scale + at;
    StoreInts(joined ? LoadNibbles<0>(sub) : LoadBytes<int8_t>(sub), scale + u * 16);
    if (centred) continue;
    StoreInts(joined ? LoadNibbles<4>(sub) : LoadBytes<uint8_t>(w.bytes + w.layout.offset + at),
              minimum + u * 16);
  }
}

#endif  // LOWBIT_VECTOR_TARGET

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#endif  // LOWBIT_KERNEL_SCALES_INL_H_
