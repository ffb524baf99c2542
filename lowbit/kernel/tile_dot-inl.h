// Byte dot products of whole tiles (AMX-INT8), only where the processor and the kernel of the system offer
// them (HasTileDot): for up to 16 tokens t and a panel of 16 rows r
//
//   sum[t][r] = sum_k x[t][k] w[r][k]    over one unit of 32, 64 or 128 columns k; exact int32
//
// Codes come as every kernel unpacks them, 4 columns of 16 rows in 64 bytes, which is how a tile of right
// operands lies. A product takes as long as its left tile has rows, whatever the number of columns, up to 64.

#if defined(LOWBIT_KERNEL_TILE_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOWBIT_KERNEL_TILE_DOT_INL_H_
#undef LOWBIT_KERNEL_TILE_DOT_INL_H_
#else
#define LOWBIT_KERNEL_TILE_DOT_INL_H_
#endif

#include <algorithm>
#include <type_traits>

#include "lowbit/kernel/activations.h"
#include "lowbit/kernel/byte_dot-inl.h"
#include "lowbit/kernel/matmul_kernels.h"
#include "lowbit/kernel/units.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
#if LOWBIT_VECTOR_TARGET

template <class Dot>
constexpr bool IsTileDot = false;

#if HWY_TARGET == HWY_AVX3

// What ldtilecfg reads.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// The eight tile registers: sums, activations and codes. A sum is stored when later products are on their
// way, as a product takes far longer than the time from one to the next.
constexpr int kSumTiles = 4, kSumTile = 0, kXTile = 4, kCodeTile = 6;

template <int kReg>
HWY_INLINE void LoadTile(const void* from, int64_t stride) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(kReg), "r"(from), "r"(stride) : "memory");
}
template <int kReg>
HWY_INLINE void StoreTile(int32_t* to) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(kReg), "r"(to), "r"(int64_t{64}) : "memory");
}
template <int kReg>
HWY_INLINE void ZeroTile() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kReg));
}
template <bool kSignedCodes, int kSum, int kX, int kCodes>
HWY_INLINE void DotTiles() {
  if constexpr (kSignedCodes) {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kX), "i"(kCodes));
  } else {
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kX), "i"(kCodes));
  }
}

// Marks kernels that multiply so; the other operations of a byte dot product are those of HardwareDot.
struct TileDot : HardwareDot {
  // Columns of one product.
  static constexpr int ColumnsOf(int level) { return std::min(64, UnitColumns(level)); }

  // Readies the tile registers of this thread for `tokens` tokens, at most kTileTokens, and units of `level`.
  static HWY_INLINE void Configure(int level, int tokens) {
    TileConfig config;
    const auto set = [&](int tile, int rows, int bytes) {
      config.rows[tile] = static_cast<uint8_t>(rows);
      config.row_bytes[tile] = static_cast<uint16_t>(bytes);
    };
    for (int i = 0; i < kSumTiles; ++i) set(kSumTile + i, tokens, 64);
    for (int i = 0; i < 2; ++i) {
      set(kXTile + i, tokens, ColumnsOf(level));
      set(kCodeTile + i, ColumnsOf(level) / 4, 64);
    }
    asm volatile("ldtilecfg %0" ::"m"(config));
  }
  // Gives them back, or they would be saved whenever the thread is interrupted.
  static HWY_INLINE void Release() { asm volatile("tilerelease"); }

  // A block of 128 columns is multiplied unit by unit, panel by panel: product n is that of unit n / kPanels
  // and panel n % kPanels. Its sums go to totals[n][t][16], when three more are on their way or with Finish.
  template <int kLevel, int kPanels>
  static constexpr int kProducts = kActivationBlock / UnitColumns(kLevel) * kPanels;

  // Product n of the block at codes[p] and x; all n in ascending order. Codes of columns past the matrix may
  // be anything, as activations are 0 there.
  template <bool kSignedCodes, int kLevel, int kPanels, int n>
  static HWY_INLINE void Multiply(const uint8_t* const* codes, const int8_t* x, int64_t x_stride,
                                  int32_t* totals) {
    constexpr int kColumns = ColumnsOf(kLevel), kSteps = UnitColumns(kLevel) / kColumns;
    constexpr int kPanel = n % kPanels, kSum = kSumTile + n % kSumTiles;
    ZeroTile<kSum>();
    Unroll<0, kSteps>([&](auto k) LOWBIT_STEP {
      constexpr int kStep = n / kPanels * kSteps + decltype(k)::value, kX = kXTile + kStep % 2,
                    kCodes = kCodeTile + (n * kSteps + decltype(k)::value) % 2;
      if constexpr (kPanel == 0) LoadTile<kX>(x + kStep * kColumns, x_stride);
      LoadTile<kCodes>(codes[kPanel] + kStep * kColumns * kPanelRows, 64);
      DotTiles<kSignedCodes, kSum, kX, kCodes>();
    });
    if constexpr (n >= kDelay) Store<n - kDelay>(totals);
  }
  template <int kLevel, int kPanels>
  static HWY_INLINE void Finish(int32_t* totals) {
    constexpr int kAll = kProducts<kLevel, kPanels>;
    Unroll<std::max(0, kAll - kDelay), kAll>([&](auto n) LOWBIT_STEP { Store<decltype(n)::value>(totals); });
  }

 private:
  static constexpr int kDelay = kSumTiles - 1;

  template <int n>
  static HWY_INLINE void Store(int32_t* totals) {
    StoreTile<kSumTile + n % kSumTiles>(totals + n * kTileTokens * kPanelRows);
  }
};
template <>
constexpr bool IsTileDot<TileDot> = true;

#endif
#endif  // LOWBIT_VECTOR_TARGET
}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#endif  // LOWBIT_KERNEL_TILE_DOT_INL_H_
