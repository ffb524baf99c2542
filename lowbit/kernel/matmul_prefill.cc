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

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
#if LOWBIT_VECTOR_TARGET

// Registers: tokens x panels sums and as many partial results, beside the codes and the activations.
#if HWY_TARGET == HWY_AVX3
constexpr int kTileTokens = 6;  // 2 x 12 of 32 registers
#elif HWY_TARGET == HWY_AVX2
constexpr int kTileTokens = 1;
#else
constexpr int kTileTokens = 1;
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
    default:
      return UnpackTiles<6>(from, tiles, to);
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

template <class Dot, bool kHalf, bool kCentred, bool kInteger>
void PrefillPanels(const PackedMatrix& w, const QuantizedActivations& x, int64_t begin, int64_t end,
                   int64_t panel, float* y, int64_t y_stride) {
  constexpr int P = kPrefillPanels;
  const int level = UnitLevel(w.format);
  const int bits = w.format.bits;
  const int64_t tokens = end - begin;
  const int64_t panel_bytes = w.layout.tiles * 64 * bits;
  const int64_t chunk_units = kChunkTiles * kTileColumns / UnitColumns(level);
  const int64_t units = UnitsOf(w, level);

  constexpr size_t kCodeBytes = kChunkTiles * 512, kScaleFloats = P * kChunkUnits * 16,
                   kSuperFloats = P * kChunkBlocks * 16;
  uint8_t* codes = KernelScratch(P * kCodeBytes + 2 * (kScaleFloats + kSuperFloats) * 4 +
                                 static_cast<size_t>(tokens) * (P * 64 + kChunkUnits * 4));
  auto* scale = reinterpret_cast<float*>(codes + P * kCodeBytes);
  float* minimum = scale + kScaleFloats;
  float* super = minimum + kScaleFloats;
  float* super_min = super + kSuperFloats;
  float* sums = super_min + kSuperFloats;
  auto *sub_scale = reinterpret_cast<int32_t*>(scale), *sub_minimum = reinterpret_cast<int32_t*>(minimum);
  auto* bias = reinterpret_cast<int32_t*>(sums + tokens * P * 16);
  std::fill_n(sums, tokens * P * 16, 0.0f);

  Chunk<P> chunk{.tiles = 0,
                 .tiles_per_unit = std::max(1, UnitColumns(level) / kTileColumns),
                 .codes = {},
                 .scale = scale,
                 .minimum = minimum,
                 .sub_scale = sub_scale,
                 .sub_minimum = sub_minimum,
                 .super = super,
                 .super_min = super_min,
                 .x = nullptr,
                 .x_stride = x.padded(),
                 .x_scale = nullptr,
                 .x_scale_stride = x.padded() / kActivationBlock,
                 .bias = nullptr,
                 .y = nullptr};
  for (int64_t unit = 0, tile = 0; unit < units; unit += chunk_units, tile += kChunkTiles) {
    const int64_t count = std::min(chunk_units, units - unit);
    chunk.tiles = std::min(kChunkTiles, w.layout.tiles - tile);
    for (int64_t p = 0; p < P; ++p) {
      const int64_t from = std::min(panel + p, w.layout.panels - 1);
      const uint8_t* packed = w.bytes + w.layout.codes + from * panel_bytes + tile * 64 * bits;
      chunk.codes[p] = packed;
      if (bits != 8) {
        Unpack(bits, packed, chunk.tiles, codes + p * static_cast<int64_t>(kCodeBytes));
        if (w.table != nullptr)
          LookUp(*w.table, bits, codes + p * static_cast<int64_t>(kCodeBytes), chunk.tiles * 512);
        chunk.codes[p] = codes + p * static_cast<int64_t>(kCodeBytes);
      }
      const int64_t at = p * kChunkUnits * 16;
      if constexpr (kInteger) {
        DecodeSubScales(w, level, from, unit, count, sub_scale + at, sub_minimum + at,
                        super + p * kChunkBlocks * 16, super_min + p * kChunkBlocks * 16);
      } else {
        DecodeScales(w, level, from, unit, count, scale + at, minimum + at);
      }
    }
    for (int64_t t = 0; t < tokens; ++t) {
      const int32_t* const of_token = x.sums(level, begin + t) + unit;
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
      chunk.x = x.codes(begin + t) + tile * kTileColumns;
      chunk.x_scale = x.scales(begin + t) + tile * kTileColumns / kActivationBlock;
      chunk.bias = bias + t * kChunkUnits;
      chunk.y = sums + t * P * 16;
    };
    int64_t t = 0;
    for (; t + kTileTokens <= tokens; t += kTileTokens) {
      at(t, kTileTokens);
      MultiplyChunk<Dot, kHalf, kCentred, kInteger, P, kTileTokens>(chunk);
    }
    if constexpr (kTileTokens > 2) {
      for (; t + 2 <= tokens; t += 2) {
        at(t, 2);
        MultiplyChunk<Dot, kHalf, kCentred, kInteger, P, 2>(chunk);
      }
    }
    for (; t < tokens; ++t) {
      at(t, 1);
      MultiplyChunk<Dot, kHalf, kCentred, kInteger, P, 1>(chunk);
    }
  }
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

template <class Dot>
PrefillKernel PickPrefill(const PackedFormat& format) {
  const bool half = UnitLevel(format) == 0, centred = IsCentred(format);
  if (half) return centred ? PickScales<Dot, true, true>(format) : PickScales<Dot, true, false>(format);
  return centred ? PickScales<Dot, false, true>(format) : PickScales<Dot, false, false>(format);
}

#endif  // LOWBIT_VECTOR_TARGET

PrefillKernel PrefillKernelFor(const PackedFormat& format, bool byte_dot) {
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

PrefillKernel FindPrefillKernel(const PackedFormat& format) {
  return LOWBIT_KERNEL(PrefillKernelFor)(format, HasByteDot(CurrentTarget()));
}

}  // namespace lowbit
#endif  // HWY_ONCE
