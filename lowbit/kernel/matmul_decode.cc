// Decoding: one token, the weights stream from memory once and are unpacked in registers.
#include <algorithm>

#include "lowbit/kernel/matmul_kernels.h"
#include "lowbit/kernel/units.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/matmul_decode.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "lowbit/kernel/chunk-inl.h"
#include "lowbit/kernel/scales-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128

DecodeKernel DecodeKernelFor(const IntegerFormat&, bool) {
  return nullptr;
}

#else

template <class Dot, int kBits, bool kHalf, bool kCentred>
void DecodePanels(const PackedMatrix& w, const QuantizedActivations& x, int64_t token, int64_t panel,
                  float* y) {
  constexpr int P = kDecodePanels;
  const int level = UnitLevel(w.format);
  const int64_t units = (w.cols + UnitColumns(level) - 1) / UnitColumns(level);
  const int64_t panel_bytes = w.layout.tiles * 64 * kBits;
  // A chunk is whole blocks of 128 columns, at most kChunkUnits units and 2048 columns.
  const int64_t chunk_units = std::min<int64_t>(kChunkUnits, 2048 / UnitColumns(level));
  const int64_t chunk_tiles = chunk_units * UnitColumns(level) / kTileColumns;

  alignas(64) float scale[P * kChunkUnits * 16], minimum[kCentred ? 16 : P * kChunkUnits * 16];
  alignas(64) float sums[P * 16] = {};
  alignas(64) int32_t bias[kChunkUnits];
  Chunk<P> chunk{.tiles = 0,
                 .tiles_per_unit = std::max(1, UnitColumns(level) / kTileColumns),
                 .codes = {},
                 .scale = scale,
                 .minimum = minimum,
                 .x = nullptr,
                 .x_stride = 0,
                 .x_scale = nullptr,
                 .x_scale_stride = 0,
                 .bias = bias,
                 .y = sums};
  for (int64_t unit = 0, tile = 0; unit < units; unit += chunk_units, tile += chunk_tiles) {
    const int64_t count = std::min(chunk_units, units - unit);
    for (int64_t p = 0; p < P; ++p) {
      // Panels past the end repeat the last one; their sums are dropped.
      const int64_t from = std::min(panel + p, w.layout.panels - 1);
      chunk.codes[p] = w.bytes + w.layout.codes + from * panel_bytes + tile * 64 * kBits;
      DecodeScales(w, level, from, unit, count, scale + p * kChunkUnits * 16,
                   minimum + (kCentred ? 0 : p * kChunkUnits * 16));
    }
    MakeBias<kCentred>(x.sums(level, token) + unit, count, kBits, bias);
    chunk.tiles = std::min(chunk_tiles, w.layout.tiles - tile);
    chunk.x = x.codes(token) + tile * kTileColumns;
    chunk.x_scale = x.scales(token) + tile * kTileColumns / kActivationBlock;
    MultiplyChunk<Dot, kBits, kHalf, kCentred, P, 1>(chunk);
  }
  const int64_t row = panel * kPanelRows;
  std::copy_n(sums, std::min<int64_t>(P * kPanelRows, w.rows - row), y + row);
}

template <class Dot, int kBits>
DecodeKernel PickDecode(bool half, bool centred) {
  // Groups of 16 are those of Q2_K (with minima), Q3_K and Q6_K.
  if constexpr (kBits == 2) {
    if (half) return DecodePanels<Dot, kBits, true, false>;
  }
  if constexpr (kBits == 3 || kBits == 6) {
    if (half) return DecodePanels<Dot, kBits, true, true>;
  }
  return centred ? DecodePanels<Dot, kBits, false, true> : DecodePanels<Dot, kBits, false, false>;
}

template <class Dot>
DecodeKernel PickDecodeBits(const IntegerFormat& format) {
  const bool half = UnitLevel(format) == 0, centred = IsCentred(format);
  switch (format.bits) {
    case 2:
      return PickDecode<Dot, 2>(half, centred);
    case 3:
      return PickDecode<Dot, 3>(half, centred);
    case 4:
      return PickDecode<Dot, 4>(half, centred);
    case 5:
      return PickDecode<Dot, 5>(half, centred);
    case 6:
      return PickDecode<Dot, 6>(half, centred);
    default:
      return PickDecode<Dot, 8>(half, centred);
  }
}

DecodeKernel DecodeKernelFor(const IntegerFormat& format, bool byte_dot) {
#if HWY_TARGET == HWY_AVX3
  (void)byte_dot;
  return PickDecodeBits<HardwareDot>(format);
#elif HWY_TARGET == HWY_AVX2
  return byte_dot ? PickDecodeBits<HardwareDot>(format) : PickDecodeBits<PairDot>(format);
#else
  (void)byte_dot;
  return PickDecodeBits<PlainDot>(format);
#endif
}

#endif  // a target with vectors

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(DecodeKernelFor);

DecodeKernel FindDecodeKernel(const IntegerFormat& format) {
  return LOWBIT_KERNEL(DecodeKernelFor)(format, HasByteDot(CurrentTarget()));
}

}  // namespace lowbit
#endif  // HWY_ONCE
