// Prefill: many tokens, so a chunk of two panels is unpacked once to one code a byte and then multiplied with
// blocks of tokens from registers.
#include <algorithm>

#include "lowbit/kernel/matmul_kernels.h"
#include "lowbit/kernel/units.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/matmul_prefill.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "lowbit/kernel/chunk-inl.h"
#include "lowbit/kernel/outliers-inl.h"
#include "lowbit/kernel/scales-inl.h"
#include "lowbit/kernel/tile_dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
#if LOWBIT_VECTOR_TARGET

// Tokens that one step multiplies. Registers: tokens x panels sums and as many partial results, beside the
// codes and the activations.
template <class Dot>
constexpr int kStepTokens = HWY_TARGET == HWY_AVX3 ? 6 : 1;  // 2 x 12 of 32 registers
#if HWY_TARGET == HWY_AVX3
template <>
constexpr int kStepTokens<TileDot> = kTileTokens;
#endif

// 512 columns of two panels in codes are 16 KiB, half of an L1 cache.
constexpr int64_t kChunkTiles = 16;

template <int kBits>
HWY_INLINE void UnpackTiles(const uint8_t* from, int64_t tiles, uint8_t* to) {
  for (int64_t tile = 0; tile < tiles; ++tile) {
    Tile<kBits> codes;
    codes.Load(from);
    Unroll<0, 8>([&](auto q)
                     LOWBIT_STEP { StoreBytes(codes.template Quad<decltype(q)::value>(), to + 64 * q); });
    from += 64 * kBits;
    to += 64 * 8;
  }
}

void Unpack(int bits, const uint8_t* from, int64_t tiles, uint8_t* to) {
  switch (bits) {
    case 1:
      return UnpackTiles<1>(from, tiles, to);
    case 2:
      return UnpackTiles<2>(from, tiles, to);
    case 3:
      return UnpackTiles<3>(from, tiles, to);
    case 4:
      return UnpackTiles<4>(from, tiles, to);
    case 5:
      return UnpackTiles<5>(from, tiles, to);
    case 6:
      return UnpackTiles<6>(from, tiles, to);
    default:
      std::copy_n(from, tiles * 512, to);
  }
}

// Codes to the bytes of a table of 2^bits entries, in place; 16 entries a look-up.
void LookUp(const CodeTable& table, int bits, uint8_t* codes, int64_t bytes) {
  const DB d;
  const auto first = hn::LoadDup128(d, table.byte.data());
  const auto low = hn::Set(d, 15);
  const int parts = bits > 4 ? 1 << (bits - 4) : 1;
  for (int64_t i = 0; i < bytes; i += static_cast<int64_t>(hn::Lanes(d))) {
    const auto code = hn::LoadU(d, codes + i);
    auto byte = hn::TableLookupBytes(first, bits <= 4 ? code : hn::And(code, low));
    for (int k = 1; k < parts; ++k) {
      const auto part =
          hn::TableLookupBytes(hn::LoadDup128(d, table.byte.data() + 16 * k), hn::And(code, low));
      const auto here = hn::Eq(hn::AndNot(low, code), hn::Set(d, static_cast<uint8_t>(16 * k)));
      byte = hn::IfThenElse(here, part, byte);
    }
    hn::StoreU(byte, d, codes + i);
  }
}

// Codes less the centre, as signed bytes.
void Centre(int centre, uint8_t* codes, int64_t bytes) {
  const DB d;
  const auto from = hn::Set(d, static_cast<uint8_t>(centre));
  for (int64_t i = 0; i < bytes; i += static_cast<int64_t>(hn::Lanes(d)))
    hn::StoreU(hn::Sub(hn::LoadU(d, codes + i), from), d, codes + i);
}

template <class Dot, bool kHalf, bool kCentred, bool kInteger>
void PrefillPanels(const PackedMatrix& w, const QuantizedActivations& x, int64_t begin, int64_t end,
                   int64_t panel, float* y, int64_t y_stride) {
  constexpr int P = kPrefillPanels, T = kStepTokens<Dot>;
  constexpr bool kTiles = IsTileDot<Dot>;
  const int level = UnitLevel(w.format);
  const int bits = w.format.bits;
  const int64_t tokens = end - begin;
  const int64_t panel_bytes = w.layout.tiles * 64 * bits;
  const int64_t chunk_units = kChunkTiles * kTileColumns / UnitColumns(level);
  const int64_t units = UnitsOf(w, level);

  constexpr size_t kCodeBytes = kChunkTiles * 512, kScaleFloats = P * kChunkUnits * 16,
                   kSuperFloats = P * kChunkBlocks * 16, kTotals = kTiles ? 2 * kTileTotals<P> : 0;
  // Tiles compute the tokens that are missing to a whole step too; nobody reads them.
  const int64_t room = kTiles ? (tokens + T - 1) / T * T : tokens;
  uint8_t* codes = KernelScratch(P * kCodeBytes + 2 * (kScaleFloats + kSuperFloats) * 4 + kTotals * 4 +
                                 static_cast<size_t>(room) * (P * 64 + (kChunkUnits + kChunkBlocks) * 4));
  auto* scale = reinterpret_cast<float*>(codes + P * kCodeBytes);
  float* minimum = scale + kScaleFloats;
  float* super = minimum + kScaleFloats;
  float* super_min = super + kSuperFloats;
  auto* totals = reinterpret_cast<int32_t*>(super_min + kSuperFloats);
  auto* sums = reinterpret_cast<float*>(totals + kTotals);
  auto *sub_scale = reinterpret_cast<int32_t*>(scale), *sub_minimum = reinterpret_cast<int32_t*>(minimum);
  float* x_scale = sums + room * P * 16;
  auto* bias = reinterpret_cast<int32_t*>(x_scale + room * kChunkBlocks);
  std::fill_n(sums, room * P * 16, 0.0f);

  Chunk<P> chunk{.level = level,
                 .tiles = 0,
                 .codes = {},
                 .scale = scale,
                 .minimum = minimum,
                 .sub_scale = sub_scale,
                 .sub_minimum = sub_minimum,
                 .super = super,
                 .super_min = super_min,
                 .x = x.codes(begin),
                 .x_stride = x.padded(),
                 .x_scale = x_scale,
                 .bias = bias,
                 .y = sums};
  for (int64_t unit = 0, tile = 0; unit < units; unit += chunk_units, tile += kChunkTiles) {
    const int64_t count = std::min(chunk_units, units - unit);
    chunk.tiles = std::min(kChunkTiles, w.layout.tiles - tile);
    chunk.x = x.codes(begin) + tile * kTileColumns;
    for (int64_t p = 0; p < P; ++p) {
      const int64_t from = std::min(panel + p, w.layout.panels - 1);
      const uint8_t* packed = w.bytes + w.layout.codes + from * panel_bytes + tile * 64 * bits;
      chunk.codes[p] = packed;
      if (bits != 8 || kTiles) {
        uint8_t* unpacked = codes + p * static_cast<int64_t>(kCodeBytes);
        Unpack(bits, packed, chunk.tiles, unpacked);
        if (w.table != nullptr) LookUp(*w.table, bits, unpacked, chunk.tiles * 512);
        if (kTiles && kCentred) Centre(CentreOf(w), unpacked, chunk.tiles * 512);
        chunk.codes[p] = unpacked;
      }
      const int64_t at = p * kChunkUnits * 16;
      if constexpr (kInteger) {
        DecodeSubScales(w, level, from, unit, count, sub_scale + at, sub_minimum + at,
                        super + p * kChunkBlocks * 16, super_min + p * kChunkBlocks * 16);
      } else {
        DecodeScales(w, level, from, unit, count, scale + at, minimum + at);
      }
    }
    const int64_t block = tile * kTileColumns / kActivationBlock;
    const int64_t blocks = std::min(kChunkBlocks, x.padded() / kActivationBlock - block);
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t b = 0; b < blocks; ++b) x_scale[t * kChunkBlocks + b] = x.scales(begin + t)[block + b];
      const int32_t* const of_token = x.sums(level, begin + t) + unit;
      if constexpr (kTiles && kCentred) continue;  // codes are signed
      if constexpr (kInteger && !kCentred) {
        std::copy_n(of_token, count, bias + t * kChunkUnits);
      } else {
        MakeBias<kCentred>(of_token, count, CentreOf(w), bias + t * kChunkUnits);
      }
    }
    const bool last = unit + chunk_units >= units;
    const auto at = [&](int64_t t, int64_t group) {
      // Rows of y lie far apart: they are asked for while the last products are being made.
      for (int64_t i = 0; last && i < group; ++i) {
        float* to = y + (begin + t + i) * y_stride + panel * kPanelRows;
        for (int p = 0; p < P; ++p) __builtin_prefetch(to + p * kPanelRows, 1);
      }
      return chunk.From(t);
    };
    if constexpr (kTiles) {
      const auto multiply = [&](auto of_level) LOWBIT_STEP {
        MultiplyTileChunk<Dot, decltype(of_level)::value, kCentred, kInteger>(chunk, tokens, at, totals);
      };
      if (level == 1) {
        multiply(std::integral_constant<int, 1>());
      } else if (level == 2) {
        multiply(std::integral_constant<int, 2>());
      } else {
        multiply(std::integral_constant<int, 3>());
      }
    } else {
      int64_t t = 0;
      for (; t + T <= tokens; t += T) MultiplyChunk<Dot, kHalf, kCentred, kInteger, P, T>(at(t, T));
      if constexpr (T > 2) {
        for (; t + 2 <= tokens; t += 2) MultiplyChunk<Dot, kHalf, kCentred, kInteger, P, 2>(at(t, 2));
      }
      for (; t < tokens; ++t) MultiplyChunk<Dot, kHalf, kCentred, kInteger, P, 1>(at(t, 1));
    }
  }
  if constexpr (kTiles) Dot::Release();
  AddOutliers<P>(w, x, begin, end, panel, sums);
  const int64_t row = panel * kPanelRows, rows = std::min<int64_t>(P * kPanelRows, w.rows - row);
  for (int64_t t = 0; t < tokens; ++t) std::copy_n(sums + t * P * 16, rows, y + (begin + t) * y_stride + row);
}

template <class Dot, bool kHalf, bool kCentred>
PrefillKernel PickScales(const PackedFormat& format) {
  return ScalesIntegers(format.bits, format.scale, format.offset)
             ? PrefillPanels<Dot, kHalf, kCentred, true>
             : PrefillPanels<Dot, kHalf, kCentred, false>;
}

template <class Dot, bool kHalf>
PrefillKernel PickOffsets(const PackedFormat& format) {
  return IsCentred(format) ? PickScales<Dot, kHalf, true>(format) : PickScales<Dot, kHalf, false>(format);
}

template <class Dot>
PrefillKernel PickPrefill(const PackedFormat& format) {
  return UnitLevel(format) == 0 ? PickOffsets<Dot, true>(format) : PickOffsets<Dot, false>(format);
}

#endif  // LOWBIT_VECTOR_TARGET

PrefillKernel PrefillKernelFor(const PackedFormat& format, bool byte_dot, bool tile_dot) {
#if HWY_TARGET == HWY_AVX3
  if (tile_dot) return PickOffsets<TileDot, false>(format);
#endif
  (void)tile_dot;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  if (byte_dot) return PickPrefill<HardwareDot>(format);
  switch (format.alphabet ? CodeTableOf(*format.alphabet).width : format.bits) {
    case 8:
    case 7:
      return PickPrefill<OfWidth<PairDot, 8>>(format);
    case 6:
      return PickPrefill<OfWidth<PairDot, 6>>(format);
    case 5:
      return PickPrefill<OfWidth<PairDot, 5>>(format);
    default:
      return PickPrefill<OfWidth<PairDot, 4>>(format);
  }
#elif LOWBIT_VECTOR_TARGET
  (void)byte_dot;
  return PickPrefill<PlainDot>(format);
#else
  (void)format, (void)byte_dot;
  return PlainPrefill;
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(PrefillKernelFor);

int64_t PrefillStep(const PackedFormat& format, int64_t tokens) {
  // Units of 16 columns would leave three quarters of a tile idle: vectors are as fast there.
  const bool tiles = HasTileDot(CurrentTarget()) && tokens >= kTileTokens && UnitLevel(format) > 0;
  return tiles ? kTileTokens : 6;  // or the widest register tile
}

PrefillKernel FindPrefillKernel(const PackedFormat& format, int64_t tokens) {
  const bool byte_dot = HasByteDot(CurrentTarget());
  return LOWBIT_KERNEL(PrefillKernelFor)(format, byte_dot, PrefillStep(format, tokens) == kTileTokens);
}

}  // namespace lowbit
#endif  // HWY_ONCE
