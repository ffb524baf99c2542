// The columns of activations that int8 leaves out (activations.h), times their weights in f32. They are few:
// a column of a panel is read once for all tokens that have an outlier there.

#if defined(LOWBIT_KERNEL_OUTLIERS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOWBIT_KERNEL_OUTLIERS_INL_H_
#undef LOWBIT_KERNEL_OUTLIERS_INL_H_
#else
#define LOWBIT_KERNEL_OUTLIERS_INL_H_
#endif

#include <algorithm>

#include "lowbit/kernel/activations.h"
#include "lowbit/kernel/scales-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
#if LOWBIT_VECTOR_TARGET

// `width` bits of each 32-bit lane from bit `shift` on.
HWY_INLINE Ints Field(const uint8_t* vector, int shift, int width) {
  return OfParts<Ints>([&](auto i) LOWBIT_STEP {
    const auto lanes = hn::LoadU(DU(), reinterpret_cast<const uint32_t*>(vector) + kLanes * i);
    return hn::BitCast(DI(), hn::And(hn::ShiftRightSame(lanes, shift), hn::Set(DU(), (1u << width) - 1)));
  });
}

// The codes of one column of sixteen rows: the fields of its planes (format.h), put together.
HWY_INLINE Ints CodesOfColumn(const uint8_t* tile, int bits, int column) {
  const int q = column / 4, byte = 8 * (column % 4);
  if (bits == 8) return Field(tile + 64 * q, byte, 8);
  Ints codes = ZeroInts();
  int known = 0;
  for (const int width : {4, 2, 1}) {
    if (((bits - known) & width) == 0) continue;
    const int vectors = width;
    const Ints field = Field(tile + 64 * (q % vectors), byte + width * (q / vectors), width);
    codes = OfParts<Ints>(
        [&](auto i) LOWBIT_STEP { return hn::Or(codes.v[i], hn::ShiftLeftSame(field.v[i], known)); });
    known += width;
    tile += 64 * vectors;
  }
  return codes;
}

// Sixteen weights of a column, the values of QuantizedMatrix::DequantizeRow.
HWY_INLINE Floats WeightsOfColumn(const PackedMatrix& w, int64_t panel, int64_t column) {
  const int bits = w.format.bits;
  const uint8_t* tile =
      w.bytes + w.layout.codes + (panel * w.layout.tiles + column / kTileColumns) * 64 * bits;
  const Ints codes = CodesOfColumn(tile, bits, static_cast<int>(column % kTileColumns));
  const int64_t group = w.format.group == 0 ? 0 : column / w.format.group;
  const Floats scale = ScaleOf(w, panel, group);
  if (w.table != nullptr) {
    return Mul(scale, OfParts<Floats>([&](auto i) LOWBIT_STEP {
                 return hn::GatherIndex(DF(), w.table->value.data(), codes.v[i]);
               }));
  }
  const Floats offset = OffsetOf(w, panel, group);
  const bool subtract = w.format.offset == OffsetKind::kCentre || w.format.offset == OffsetKind::kZeroPoint;
  return subtract ? Mul(scale, Sub(ToFloats(codes), offset)) : Add(Mul(scale, ToFloats(codes)), offset);
}

// sums[t - begin][p][16] += x[t, c] w[rows of panel + p, c] over the outliers c of x in ascending order, for
// tokens [begin, end) and kPanels panels (what lies past the matrix gets its last panel).
template <int kPanels>
void AddOutliers(const PackedMatrix& w, const QuantizedActivations& x, int64_t begin, int64_t end,
                 int64_t panel, float* sums) {
  int64_t known = -1;
  Floats weights[kPanels];
  for (const Outlier& o : x.outliers()) {
    if (o.token < begin || o.token >= end) continue;
    if (o.column != known) {
      known = o.column;
      for (int p = 0; p < kPanels; ++p)
        weights[p] = WeightsOfColumn(w, std::min(panel + p, w.layout.panels - 1), known);
    }
    const Floats value = SetFloats(o.value);
    float* to = sums + (o.token - begin) * kPanels * 16;
    Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
      StoreFloats(MulAdd(value, weights[p], LoadFloats(to + p * 16)), to + p * 16);
    });
  }
}

#endif  // LOWBIT_VECTOR_TARGET

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#endif  // LOWBIT_KERNEL_OUTLIERS_INL_H_
