// The packed product with f32 activations: a chunk of a panel is expanded to f32, column by column of 16
// rows, and multiplied with tiles of tokens.
#include <algorithm>

#include "lowbit/base/error.h"
#include "lowbit/kernel/matmul.h"
#include "lowbit/kernel/plain_codes.h"
#include "lowbit/kernel/units.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/matmul_f32.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "lowbit/kernel/chunk-inl.h"
#include "lowbit/kernel/scales-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {

// 256 columns of 16 rows in f32 are 16 KiB, half of an L1 cache.
[[maybe_unused]] constexpr int64_t kExpandedColumns = 256;

#if LOWBIT_VECTOR_TARGET

// Sums of a tile of tokens: 12 of 32 registers, or 6 x 2 of 16.
constexpr int kF32Tokens = HWY_TARGET == HWY_AVX3 ? 12 : 6;

// to[column][16] for `tiles` tiles, bit-identical to QuantizedMatrix::DequantizeRow.
template <int kBits>
void Expand(const PackedMatrix& w, int64_t panel, int64_t tile, int64_t tiles, float* to) {
  const uint8_t* from = w.bytes + w.layout.codes + (panel * w.layout.tiles + tile) * 64 * kBits;
  const bool half = w.format.group == 16;
  const bool subtract = w.format.offset == OffsetKind::kCentre || w.format.offset == OffsetKind::kZeroPoint;
  int64_t known = -1;
  Floats scale = ZeroFloats(), offset = ZeroFloats();
  for (int64_t t = 0; t < tiles; ++t, from += 64 * kBits, to += kTileColumns * 16) {
    Tile<kBits> loaded;
    loaded.Load(from);
    Unroll<0, 8>([&](auto i) LOWBIT_STEP {
      constexpr int q = decltype(i)::value;
      if (q == 0 || (half && q == 4)) {
        const int64_t column = (tile + t) * kTileColumns + 4 * q;
        const int64_t group = w.format.group == 0 ? 0 : column / w.format.group;
        if (group != known && group < w.layout.groups) {
          known = group;
          scale = ScaleOf(w, panel, group);
          offset = OffsetOf(w, panel, group);
        }
      }
      const Bytes codes = loaded.template Quad<q>();
      Unroll<0, 4>([&](auto byte) LOWBIT_STEP {
        if (w.table != nullptr) {
          const Floats level = GatherBytes<decltype(byte)::value>(w.table->value.data(), codes);
          StoreFloats(Mul(scale, level), to + (4 * q + decltype(byte)::value) * 16);
          return;
        }
        const Floats code = ByteToFloats<decltype(byte)::value>(codes);
        const Floats value = subtract ? Mul(scale, Sub(code, offset)) : Add(Mul(scale, code), offset);
        StoreFloats(value, to + (4 * q + decltype(byte)::value) * 16);
      });
    });
  }
}

void ExpandAny(const PackedMatrix& w, int64_t panel, int64_t tile, int64_t tiles, float* to) {
  switch (w.format.bits) {
    case 1:
      return Expand<1>(w, panel, tile, tiles, to);
    case 2:
      return Expand<2>(w, panel, tile, tiles, to);
    case 3:
      return Expand<3>(w, panel, tile, tiles, to);
    case 4:
      return Expand<4>(w, panel, tile, tiles, to);
    case 5:
      return Expand<5>(w, panel, tile, tiles, to);
    case 6:
      return Expand<6>(w, panel, tile, tiles, to);
    default:
      return Expand<8>(w, panel, tile, tiles, to);
  }
}

// sums[t][16] += expanded columns times x.
template <int kTokens>
HWY_INLINE void MultiplyExpanded(const float* weights, int64_t columns, const float* x, int64_t x_stride,
                                 float* sums) {
  Floats sum[kTokens];
  Unroll<0, kTokens>([&](auto t) LOWBIT_STEP { sum[t] = LoadFloats(sums + t * 16); });
  for (int64_t c = 0; c < columns; ++c) {
    const Floats w = LoadFloats(weights + c * 16);
    Unroll<0, kTokens>([&](auto t)
                           LOWBIT_STEP { sum[t] = MulAdd(w, SetFloats(x[t * x_stride + c]), sum[t]); });
  }
  Unroll<0, kTokens>([&](auto t) LOWBIT_STEP { StoreFloats(sum[t], sums + t * 16); });
}

void F32Panel(const PackedMatrix& w, const float* x, int64_t tokens, int64_t x_stride, int64_t panel,
              float* y, int64_t y_stride) {
  auto* weights = reinterpret_cast<float*>(
      KernelScratch(static_cast<size_t>(kExpandedColumns + tokens) * 16 * sizeof(float)));
  float* sums = weights + kExpandedColumns * 16;
  std::fill_n(sums, tokens * 16, 0.0f);
  for (int64_t column = 0; column < w.cols; column += kExpandedColumns) {
    const int64_t tile = column / kTileColumns, columns = std::min(kExpandedColumns, w.cols - column);
    ExpandAny(w, panel, tile, (columns + kTileColumns - 1) / kTileColumns, weights);
    int64_t t = 0;
    for (; t + kF32Tokens <= tokens; t += kF32Tokens) {
      MultiplyExpanded<kF32Tokens>(weights, columns, x + t * x_stride + column, x_stride, sums + t * 16);
    }
    for (; t + 4 <= tokens; t += 4) {
      MultiplyExpanded<4>(weights, columns, x + t * x_stride + column, x_stride, sums + t * 16);
    }
    for (; t < tokens; ++t) {
      MultiplyExpanded<1>(weights, columns, x + t * x_stride + column, x_stride, sums + t * 16);
    }
  }
  const int64_t row = panel * kPanelRows, rows = std::min<int64_t>(kPanelRows, w.rows - row);
  for (int64_t t = 0; t < tokens; ++t) std::copy_n(sums + t * 16, rows, y + t * y_stride + row);
}

#else

void F32Panel(const PackedMatrix& w, const float* x, int64_t tokens, int64_t x_stride, int64_t panel,
              float* y, int64_t y_stride) {
  auto* weights = reinterpret_cast<float*>(KernelScratch(static_cast<size_t>(w.cols) * sizeof(float)));
  const int64_t end = std::min(w.rows, (panel + 1) * kPanelRows);
  for (int64_t row = panel * kPanelRows; row < end; ++row) {
    DequantizeRows(w, row, row + 1, weights);
    for (int64_t t = 0; t < tokens; ++t) {
      float sum = 0;
      for (int64_t c = 0; c < w.cols; ++c) sum += weights[c] * x[t * x_stride + c];
      y[t * y_stride + row] = sum;
    }
  }
}

#endif  // LOWBIT_VECTOR_TARGET

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(F32Panel);

void MatMulF32(const PackedMatrix& w, const float* x, int64_t tokens, int64_t x_stride, float* y,
               int64_t y_stride, ThreadPool& pool) {
  constexpr int64_t kBlock = 256;  // tokens that share one expansion
  const auto panel_product = LOWBIT_KERNEL(F32Panel);
  const int64_t blocks = (tokens + kBlock - 1) / kBlock;
  pool.Run(w.layout.panels * blocks, [&](int64_t task, int) {
    const int64_t panel = task % w.layout.panels, begin = task / w.layout.panels * kBlock;
    panel_product(w, x + begin * x_stride, std::min(kBlock, tokens - begin), x_stride, panel,
                  y + begin * y_stride, y_stride);
  });
}

}  // namespace lowbit
#endif  // HWY_ONCE
