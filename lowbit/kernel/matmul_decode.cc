// Decoding: one token, so every weight is read once and memory is the limit. A panel is a stream of codes and
// one of scales, both read in the order in which they lie; the next panel follows without a seam. Everything
// is unpacked in registers.
#include <algorithm>

#include "lowbit/kernel/matmul_kernels.h"
#include "lowbit/kernel/targets.h"
#include "lowbit/kernel/units.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/matmul_decode.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "lowbit/kernel/byte_dot-inl.h"
#include "lowbit/kernel/chunk-inl.h"
#include "lowbit/kernel/outliers-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
#if LOWBIT_VECTOR_TARGET

constexpr int64_t kBlockTiles = kActivationBlock / kTileColumns;

// How many columns share a scale: half a tile, a tile, two or four tiles.
enum class Unit { k16, k32, kLong };

// Panels walked side by side, each with the panels behind it, so that memory is read from more places at
// once. With registers enough they share the loads of the activations too and halve the weight of latencies;
// otherwise they are teams of one panel that take turns of 128 columns.
#if HWY_TARGET == HWY_AVX3
constexpr int StreamsOf(int bits, ScaleKind scale) {
  return static_cast<int>(DecodePanels(bits, scale));
}
#else
constexpr int StreamsOf(int, ScaleKind) {
  return 1;
}
#endif
constexpr int TeamsOf(int bits, ScaleKind scale) {
  return static_cast<int>(DecodePanels(bits, scale)) / StreamsOf(bits, scale);
}

// The sums of quads 0 to 3 and of quads 4 to 7: of the two halves of a tile, or, together, of the tiles of a
// unit. Two sums because they are chains of dependent instructions that should overlap; one, if kTogether,
// for a Dot that can put off what it does once for several quads.
template <class Dot, int kBits, bool kTable, int kStreams, bool kTogether>
struct TileSums {
  static constexpr bool kScaled = Dot::kScaled && kBits <= 4 && !kTable;
  static constexpr bool kOne = kTogether && Dot::template kTileAtOnce<kBits>;
  typename Dot::template Sum<kBits, kOne ? 8 : 4> half[kOne ? 1 : 2][kStreams];

  HWY_INLINE void Start(const Ints& low, const Ints& high) {
    Unroll<0, kStreams>([&](auto s) LOWBIT_STEP {
      half[0][s].Start(low);
      if constexpr (!kOne) half[1][s].Start(high);
    });
  }

  // Codes are looked up in the 16 bytes of `table`, repeated along the register, if kTable.
  HWY_INLINE void Add(const uint8_t* const* from, const int8_t* x, const hn::Vec<DB>& table, int64_t ahead) {
    if (ahead != 0) {
      Unroll<0, kStreams>([&](auto s) LOWBIT_STEP {
        Unroll<0, kBits>([&](auto i) LOWBIT_STEP { __builtin_prefetch(from[s] + ahead + 64 * i); });
      });
    }
    Tile<kBits> tile[kStreams];
    Unroll<0, kStreams>([&](auto s) LOWBIT_STEP { tile[s].Load(from[s]); });
    Unroll<0, 8>([&](auto i) LOWBIT_STEP {
      constexpr int q = QuadAt<kBits>(i);
      // The how-manieth quad of its half this is.
      constexpr int step = kOne ? decltype(i)::value : kBits == 8 ? i % 4 : i / 2;
      const auto four = LoadQuad(x + 4 * q);
      Unroll<0, kStreams>([&](auto s) LOWBIT_STEP {
        Bytes codes = tile[s].template Quad<q, kScaled>();
        if constexpr (kTable) {
          codes = OfParts<Bytes>([&](auto p) LOWBIT_STEP { return hn::TableLookupBytes(table, codes.v[p]); });
        }
        half[kOne ? 0 : q / 4][s].template Step<step>(codes, four);
      });
    });
  }
  template <class Stream>
  HWY_INLINE Ints Low(Stream s) const {
    return half[0][s].Total();
  }
  template <class Stream>
  HWY_INLINE Ints Both(Stream s) const {
    if constexpr (kOne) return Low(s);
    if constexpr (!kOne) return AddInts(Low(s), High(s));
  }
  template <class Stream>
  HWY_INLINE Ints High(Stream s) const {
    if constexpr (kScaled) return ShiftInts<4>(half[1][s].Total());
    if constexpr (!kScaled) return half[1][s].Total();
  }
};

// Scales are a second, thin stream that hardware prefetchers follow badly: it is asked for this many bytes
// ahead. (For the codes see PrefetchDistance.)
constexpr int kAhead = 512;

// The numbers of one panel, read in order.
template <int kBits, ScaleKind kScale, OffsetKind kOffset>
struct NumberStream {
  // `scale` is the stream of both numbers.
  static constexpr bool kJoined =
      NumbersShareByte(PackedFormat{.bits = kBits, .scale = kScale, .offset = kOffset});
  static constexpr bool kHasOffset =
      kOffset != OffsetKind::kCentre && kOffset != OffsetKind::kTable && !kJoined;
  const uint8_t *scale, *offset, *super, *super_min;
  Floats d, d_min;
  Floats unit, tensor;  // of a table

  // Continues a panel at `group`.
  HWY_INLINE void Open(const PackedMatrix& w, int64_t panel, int64_t group) {
    const int64_t at = panel * w.layout.groups + group;
    scale = w.bytes + w.layout.scale + at * (kScale == ScaleKind::kF16 ? 32 : 16);
    offset = w.bytes + w.layout.offset + at * (kOffset == OffsetKind::kMinF16 ? 32 : 16);
    super = w.bytes + w.layout.super + panel * w.layout.supers * 32;
    super_min = w.bytes + w.layout.super_min + panel * w.layout.supers * 32;
    if constexpr (kOffset == OffsetKind::kTable) unit = SetFloats(w.table->unit);
    if constexpr (kScale == ScaleKind::kE4M3) tensor = SetFloats(w.tensor_scale);
  }
  // Blocks of 128 columns come in pairs under one super-scale.
  HWY_INLINE void StartBlock(int64_t block) {
    __builtin_prefetch(scale + kAhead);
    if constexpr (kHasOffset) __builtin_prefetch(offset + kAhead);
    if constexpr (kScale == ScaleKind::kSuper) d = LoadF16(super + block / 2 * 32);
    if constexpr (kOffset == OffsetKind::kSuperMin) d_min = LoadF16(super_min + block / 2 * 32);
  }
  HWY_INLINE Floats Scale() const {
    if constexpr (kJoined) return Mul(d, LoadU4<0>(scale));
    if constexpr (kScale == ScaleKind::kSuper) return Mul(d, LoadI8(scale));
    if constexpr (kOffset == OffsetKind::kTable) return Mul(TableScale(), unit);
    return LoadF16(scale);
  }
  HWY_INLINE Floats TableScale() const {
    if constexpr (kScale == ScaleKind::kE8M0) return LoadE8M0(scale);
    if constexpr (kScale == ScaleKind::kE4M3) return Mul(tensor, LoadE4M3(scale));
    return LoadF16(scale);
  }
  // Both levels of kSuper apart.
  HWY_INLINE Ints IntegerScale() const {
    if constexpr (kJoined) return LoadNibbles<0>(scale);
    return LoadBytes<int8_t>(scale);
  }
  HWY_INLINE Ints IntegerMinimum() const {
    if constexpr (kJoined) return LoadNibbles<4>(scale);
    return LoadBytes<uint8_t>(offset);
  }
  // What multiplies the bias of MakeDecodeBias.
  HWY_INLINE Floats Minimum(const Floats& s) const {
    if constexpr (kOffset == OffsetKind::kZeroPoint) return Mul(s, LoadU8(offset));
    if constexpr (kJoined) return Mul(d_min, LoadU4<4>(scale));
    if constexpr (kOffset == OffsetKind::kSuperMin) return Mul(d_min, LoadU8(offset));
    return LoadF16(offset);
  }
  HWY_INLINE void NextGroup() {
    scale += kScale == ScaleKind::kF16 ? 32 : 16;
    if constexpr (kHasOffset) offset += kOffset == OffsetKind::kMinF16 ? 32 : 16;
  }
};

// Sums of the activations of each unit: an integer folded into the dot product, an integer that a sub-minimum
// multiplies, or a float that Minimum multiplies.
template <OffsetKind kOffset, bool kInteger>
void MakeDecodeBias(const int32_t* sums, int64_t count, int centre, int32_t* bias) {
  if constexpr (kInteger && kOffset == OffsetKind::kSuperMin) {
    std::copy_n(sums, count, bias);
    return;
  }
  constexpr bool kNegative = kOffset == OffsetKind::kZeroPoint || kOffset == OffsetKind::kSuperMin;
  MakeBias<kOffset == OffsetKind::kCentre || kOffset == OffsetKind::kTable>(sums, count, centre, bias);
  if constexpr (kNegative) {
    for (int64_t u = 0; u < count; ++u) bias[u] ^= INT32_MIN;  // the sign of a float
  }
}

// Where a block of 128 columns begins: a group, and how many of its units are left.
struct BlockStart {
  int64_t block, tiles;
  int64_t group, left_in_group;
};

// Adds one block of the panels panel + s * stride to sum, [s][16], for every stream s; returns where the next
// begins.
template <class Dot, int kBits, Unit kUnit, ScaleKind kScale, OffsetKind kOffset>
HWY_INLINE BlockStart DecodeBlock(const PackedMatrix& w, const QuantizedActivations& x, int64_t token,
                                  int64_t panel, int64_t stride, const int32_t* bias, int64_t units_per_group,
                                  const BlockStart& at, float* sum) {
  constexpr int kStreams = StreamsOf(kBits, kScale);
  constexpr bool kTable = kOffset == OffsetKind::kTable;
  constexpr bool kCentred = kOffset == OffsetKind::kCentre || kTable;
  constexpr bool kInteger = ScalesIntegers(kBits, kScale, kOffset);
  constexpr bool kJoined = NumberStream<kBits, kScale, kOffset>::kJoined;  // sub-scales are not negative
  const int level = UnitLevel(w.format);
  const int64_t ahead = PrefetchDistance();
  const int64_t tiles_per_unit = std::max(1, UnitColumns(level) / kTileColumns);

  const auto table = kTable ? hn::LoadDup128(DB(), w.table->byte.data()) : hn::Zero(DB());
  const uint8_t* codes[kStreams];
  NumberStream<kBits, kScale, kOffset> numbers[kStreams];
  Unroll<0, kStreams>([&](auto s) LOWBIT_STEP {
    const int64_t tile = (panel + s * stride) * w.layout.tiles + at.block * kBlockTiles;
    codes[s] = w.bytes + w.layout.codes + tile * 64 * kBits;
    numbers[s].Open(w, panel + s * stride, at.group);
  });
  const int8_t* q = x.codes(token) + at.block * kActivationBlock;
  const int32_t* unit_bias = bias + at.block * (kActivationBlock / UnitColumns(level));
  int64_t group = at.group, left_in_group = at.left_in_group;
  Floats partial[kStreams];
  Ints scaled[kStreams], lowered[kStreams];  // kInteger: the sums times sub-scales and sub-minima
  Unroll<0, kStreams>([&](auto s) LOWBIT_STEP {
    partial[s] = ZeroFloats();
    scaled[s] = lowered[s] = ZeroInts();
    numbers[s].StartBlock(at.block);
  });
  const auto next_unit = [&]() LOWBIT_STEP {
    ++unit_bias;
    if (kUnit == Unit::k16 || --left_in_group == 0) {
      left_in_group = units_per_group;
      ++group;
      Unroll<0, kStreams>([&](auto s) LOWBIT_STEP { numbers[s].NextGroup(); });
    }
  };
  // `dots` sums of 16 columns.
  const auto finish_integers = [&](const auto&... dots) LOWBIT_STEP {
    Unroll<0, kStreams>([&](auto s) LOWBIT_STEP {
      const Ints scale = numbers[s].IntegerScale();
      ((scaled[s] = Dot::template MulWords<kJoined>(scaled[s], dots[s], scale)), ...);
      if constexpr (!kCentred) {
        const Ints total = SetInts(*unit_bias);
        lowered[s] = Dot::template MulWords<true>(lowered[s], total, numbers[s].IntegerMinimum());
      }
    });
    next_unit();
  };
  const auto finish = [&](const Ints* dot) LOWBIT_STEP {
    Unroll<0, kStreams>([&](auto s) LOWBIT_STEP {
      const Floats scale = numbers[s].Scale();
      partial[s] = MulAdd(ToFloats(dot[s]), scale, partial[s]);
      if constexpr (!kCentred) {
        float total;
        std::memcpy(&total, unit_bias, 4);
        partial[s] = MulAdd(SetFloats(total), numbers[s].Minimum(scale), partial[s]);
      }
    });
    next_unit();
  };
  int64_t in_block = at.tiles;
  while (in_block > 0) {
    constexpr bool kTogether = kUnit != Unit::k16 && !kInteger;
    using Sums = TileSums<Dot, kBits, kTable, kStreams, kTogether>;
    Sums sums;
    // High() drops four bits of what is kept scaled.
    constexpr int kUp = Sums::kScaled ? 16 : 1;
    sums.Start(kCentred ? SetInts(unit_bias[0]) : ZeroInts(),
               kCentred && kUnit == Unit::k16 ? SetInts(kUp * unit_bias[1]) : ZeroInts());
    int64_t in_unit = kUnit == Unit::kLong ? std::min(in_block, tiles_per_unit) : 1;
    in_block -= in_unit;
    do {
      sums.Add(codes, q, table, ahead);
      Unroll<0, kStreams>([&](auto s) LOWBIT_STEP { codes[s] += 64 * kBits; });
      q += kTileColumns;
    } while (kUnit == Unit::kLong && --in_unit > 0);
    Ints low[kStreams], high[kStreams];
    Unroll<0, kStreams>([&](auto s) LOWBIT_STEP {
      low[s] = kTogether ? sums.Both(s) : sums.Low(s);
      if constexpr (!kTogether) high[s] = sums.High(s);
    });
    if constexpr (kUnit == Unit::k16) {
      // The second half of the last tile may lie past the last group.
      const auto both = [&](const auto& f) LOWBIT_STEP {
        f(low);
        if (HWY_LIKELY(unit_bias != bias + w.layout.groups)) f(high);
      };
      if constexpr (kInteger) both(finish_integers);
      if constexpr (!kInteger) both(finish);
    } else if constexpr (kInteger) {
      finish_integers(low, high);
    } else {
      finish(low);
    }
  }
  if constexpr (kInteger) {
    Unroll<0, kStreams>([&](auto s) LOWBIT_STEP {
      partial[s] = Mul(numbers[s].d, ToFloats(scaled[s]));
      if constexpr (!kCentred) {
        partial[s] = Sub(partial[s], Mul(numbers[s].d_min, ToFloats(lowered[s])));
      }
    });
  }
  const Floats scale = SetFloats(x.scales(token)[at.block]);
  Unroll<0, kStreams>([&](auto s) LOWBIT_STEP {
    float* to = sum + s * kPanelRows;
    StoreFloats(MulAdd(scale, partial[s], LoadFloats(to)), to);
  });
  return {at.block + 1, 0, group, left_in_group};
}

// The products of panel + i * stride for every i below StreamsOf(...) * teams. bias: MakeDecodeBias of every
// unit.
template <class Dot, int kBits, Unit kUnit, ScaleKind kScale, OffsetKind kOffset>
void DecodeSideBySide(const PackedMatrix& w, const QuantizedActivations& x, int64_t token, int64_t panel,
                      int64_t stride, int64_t teams, const int32_t* bias, float* y) {
  constexpr int kStreams = StreamsOf(kBits, kScale);
  const int level = UnitLevel(w.format);
  // Units of a group wider than 128 columns, or of one that is no power of two.
  const int64_t units_per_group =
      w.format.group == 0 ? UnitsOf(w, level) : std::max<int64_t>(1, w.format.group / UnitColumns(level));
  alignas(64) float sum[TeamsOf(kBits, kScale) * kStreams * kPanelRows] = {};
  BlockStart at{.block = 0, .tiles = 0, .group = 0, .left_in_group = units_per_group};
  for (int64_t left = w.layout.tiles; left > 0; left -= kBlockTiles) {
    at.tiles = std::min(left, kBlockTiles);
    BlockStart next;
    int64_t team = 0;
    do {
      const int64_t first = team * kStreams;
      next = DecodeBlock<Dot, kBits, kUnit, kScale, kOffset>(
          w, x, token, panel + first * stride, stride, bias, units_per_group, at, sum + first * kPanelRows);
    } while (++team < teams);
    at = next;
  }
  for (int64_t i = 0; i < teams * kStreams; ++i) {
    const int64_t row = (panel + i * stride) * kPanelRows;
    std::copy_n(sum + i * kPanelRows, std::min<int64_t>(kPanelRows, w.rows - row), y + row);
  }
}

// Adds the outliers of one token to y, panel by panel while its bytes are near.
void AddOutliersOfToken(const PackedMatrix& w, const QuantizedActivations& x, int64_t token, int64_t panel,
                        int64_t end, float* y) {
  if (x.outliers().empty()) return;
  for (; panel < end; ++panel) {
    const int64_t row = panel * kPanelRows;
    if (HWY_LIKELY(row + kPanelRows <= w.rows)) {
      AddOutliers<1>(w, x, token, token + 1, panel, y + row);
    } else {
      alignas(64) float last[kPanelRows] = {};
      std::copy_n(y + row, w.rows - row, last);
      AddOutliers<1>(w, x, token, token + 1, panel, last);
      std::copy_n(last, w.rows - row, y + row);
    }
  }
}

template <class Dot, int kBits, Unit kUnit, ScaleKind kScale, OffsetKind kOffset>
void DecodeRange(const PackedMatrix& w, const QuantizedActivations& x, int64_t token, int64_t panel,
                 int64_t end, float* y) {
  constexpr int kStreams = StreamsOf(kBits, kScale);
  const int level = UnitLevel(w.format);
  const int64_t units = UnitsOf(w, level);
  auto* bias = reinterpret_cast<int32_t*>(KernelScratch(static_cast<size_t>(units) * 4));
  MakeDecodeBias<kOffset, ScalesIntegers(kBits, kScale, kOffset)>(x.sums(level, token), units, CentreOf(w),
                                                                  bias);
  constexpr int kTeams = TeamsOf(kBits, kScale);
  const int64_t length = (end - panel) / (kStreams * kTeams);  // panels of a stream
  const int64_t first = panel;
  for (int64_t i = 0; i < length; ++i) {
    DecodeSideBySide<Dot, kBits, kUnit, kScale, kOffset>(w, x, token, panel + i, length, kTeams, bias, y);
  }
  // A panel that is left over is its own neighbour.
  for (panel += length * kStreams * kTeams; panel < end; ++panel) {
    DecodeSideBySide<Dot, kBits, kUnit, kScale, kOffset>(w, x, token, panel, 0, 1, bias, y);
  }
  AddOutliersOfToken(w, x, token, first, end, y);
}

template <class Dot, int kBits, OffsetKind kOffset>
DecodeKernel PickUnit(const PackedFormat& format) {
  return UnitLevel(format) == 1 ? DecodeRange<Dot, kBits, Unit::k32, ScaleKind::kF16, kOffset>
                                : DecodeRange<Dot, kBits, Unit::kLong, ScaleKind::kF16, kOffset>;
}

template <class Dot, int kBits>
DecodeKernel PickOffset(const PackedFormat& format) {
  switch (format.offset) {
    case OffsetKind::kCentre:
      return PickUnit<Dot, kBits, OffsetKind::kCentre>(format);
    case OffsetKind::kZeroPoint:
      return PickUnit<Dot, kBits, OffsetKind::kZeroPoint>(format);
    case OffsetKind::kMinF16:
      return PickUnit<Dot, kBits, OffsetKind::kMinF16>(format);
    default:
      return nullptr;
  }
}

// Two-level scales: the K-quants of GGUF. Other combinations are valid but nobody makes them.
template <class Dot>
DecodeKernel PickSuper(const PackedFormat& format) {
  constexpr auto kSuper = ScaleKind::kSuper;
  const bool minimum = format.offset == OffsetKind::kSuperMin, centred = IsCentred(format);
  const int group = format.group;
  if (format.bits == 2 && group == 16 && minimum) {
    return DecodeRange<Dot, 2, Unit::k16, kSuper, OffsetKind::kSuperMin>;
  }
  if (format.bits == 3 && group == 16 && centred) {
    return DecodeRange<Dot, 3, Unit::k16, kSuper, OffsetKind::kCentre>;
  }
  if (format.bits == 4 && group == 32 && minimum) {
    return DecodeRange<Dot, 4, Unit::k32, kSuper, OffsetKind::kSuperMin>;
  }
  if (format.bits == 5 && group == 32 && minimum) {
    return DecodeRange<Dot, 5, Unit::k32, kSuper, OffsetKind::kSuperMin>;
  }
  if (format.bits == 6 && group == 16 && centred) {
    return DecodeRange<Dot, 6, Unit::k16, kSuper, OffsetKind::kCentre>;
  }
  return nullptr;
}

template <class Dot, int kBits, Unit kUnit, ScaleKind kScale>
constexpr DecodeKernel kTableDecode = DecodeRange<Dot, kBits, kUnit, kScale, OffsetKind::kTable>;

// Tables of up to 16 levels. Prefill's kernels serve one token of the others.
template <class Dot>
DecodeKernel PickTable(const PackedFormat& format) {
  const int level = UnitLevel(format);
  if (format.bits == 4 && format.scale == ScaleKind::kE8M0 && level == 1)
    return kTableDecode<Dot, 4, Unit::k32, ScaleKind::kE8M0>;
  if (format.bits == 4 && format.scale == ScaleKind::kE4M3 && level == 0)
    return kTableDecode<Dot, 4, Unit::k16, ScaleKind::kE4M3>;
  if (format.scale != ScaleKind::kF16 || level == 0) return nullptr;
  constexpr auto kF16 = ScaleKind::kF16;
  switch (format.bits) {
    case 2:
      return level == 1 ? kTableDecode<Dot, 2, Unit::k32, kF16> : kTableDecode<Dot, 2, Unit::kLong, kF16>;
    case 3:
      return level == 1 ? kTableDecode<Dot, 3, Unit::k32, kF16> : kTableDecode<Dot, 3, Unit::kLong, kF16>;
    case 4:
      return level == 1 ? kTableDecode<Dot, 4, Unit::k32, kF16> : kTableDecode<Dot, 4, Unit::kLong, kF16>;
    default:
      return nullptr;
  }
}

template <class Dot>
DecodeKernel PickDecode(const PackedFormat& format) {
  if (format.scale == ScaleKind::kSuper) return PickSuper<Dot>(format);
  switch (format.bits) {
    case 2:
      return PickOffset<Dot, 2>(format);
    case 3:
      return PickOffset<Dot, 3>(format);
    case 4:
      return PickOffset<Dot, 4>(format);
    case 5:
      return PickOffset<Dot, 5>(format);
    case 6:
      return PickOffset<Dot, 6>(format);
    default:
      return PickOffset<Dot, 8>(format);
  }
}

#endif  // LOWBIT_VECTOR_TARGET

DecodeKernel DecodeKernelFor(const PackedFormat& format, bool byte_dot) {
  [[maybe_unused]] const bool table = format.offset == OffsetKind::kTable;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  if (!table) return byte_dot ? PickDecode<HardwareDot>(format) : PickDecode<PairDot>(format);
  if (byte_dot) return PickTable<HardwareDot>(format);
  return CodeTableOf(*format.alphabet).width <= 5 ? PickTable<OfWidth<PairDot, 5>>(format)
                                                  : PickTable<OfWidth<PairDot, 8>>(format);
#elif LOWBIT_VECTOR_TARGET
  (void)byte_dot;
  return table ? PickTable<PlainDot>(format) : PickDecode<PlainDot>(format);
#else
  (void)format, (void)byte_dot;
  return PlainDecode;
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(DecodeKernelFor);

DecodeKernel FindDecodeKernel(const PackedFormat& format) {
  return LOWBIT_KERNEL(DecodeKernelFor)(format, HasByteDot(CurrentTarget()));
}

}  // namespace lowbit
#endif  // HWY_ONCE
