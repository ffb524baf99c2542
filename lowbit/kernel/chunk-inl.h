// The heart of prefill: a few panels times a few tokens over a chunk of columns.

#if defined(LOWBIT_KERNEL_CHUNK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOWBIT_KERNEL_CHUNK_INL_H_
#undef LOWBIT_KERNEL_CHUNK_INL_H_
#else
#define LOWBIT_KERNEL_CHUNK_INL_H_
#endif

#include <algorithm>
#include <type_traits>

#include "lowbit/kernel/activations.h"
#include "lowbit/kernel/byte_dot-inl.h"
#include "lowbit/kernel/matmul_kernels.h"
#include "lowbit/kernel/tile_dot-inl.h"
#include "lowbit/kernel/units.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
#if LOWBIT_VECTOR_TARGET

// At most this many units, of four blocks of 128 columns, are decoded ahead: 2 KiB of scales a panel.
constexpr int64_t kChunkUnits = 32, kChunkBlocks = 4;

// What one chunk multiplies, codes unpacked to one a byte. Entry p is a panel, t a token, u a unit counted
// from the chunk's start.
template <int kPanels>
struct Chunk {
  int level;      // UnitLevel
  int64_t tiles;  // 32 columns each
  const uint8_t* codes[kPanels];
  const float* scale;    // [p][kChunkUnits][16]
  const float* minimum;  // [p][kChunkUnits][16], unless centred
  // kInteger, in the place of both: sub-scales, sub-minima and what multiplies them.
  const int32_t *sub_scale, *sub_minimum;
  const float *super, *super_min;  // [p][kChunkBlocks][16]
  const int8_t* x;                 // token t at x + t * x_stride
  int64_t x_stride;
  const float* x_scale;  // [t][kChunkBlocks]: one for each 128 columns
  // [t][kChunkUnits]: centred: -2^(bits-1) sum q; otherwise sum q if kInteger, else the bits of float(sum q)
  const int32_t* bias;
  float* y;  // [t][p][16], added to

  HWY_INLINE Chunk From(int64_t token) const {
    Chunk c = *this;
    c.x += token * x_stride;
    c.x_scale += token * kChunkBlocks;
    c.bias += token * kChunkUnits;
    c.y += token * kPanels * kPanelRows;
    return c;
  }
};

// The sums of kTokens tokens and kPanels panels of a chunk from panel `first` on over one block of 128
// columns: units are added with their scales, then the whole with the scale of the activations to y.
// kInteger: ScalesIntegers.
template <class Dot, bool kHalf, bool kCentred, bool kInteger, int kPanels, int kTokens>
struct BlockSums {
  std::conditional_t<kInteger, Ints, Floats> partial[kTokens][kPanels];

  HWY_INLINE BlockSums() {
    Unroll<0, kTokens>([&](auto t) LOWBIT_STEP {
      Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
        if constexpr (kInteger) partial[t][p] = ZeroInts();
        if constexpr (!kInteger) partial[t][p] = ZeroFloats();
      });
    });
  }

  // total(t, p): the integer sum of unit u, the bias of a centred format included.
  template <int kOf, class Total>
  HWY_INLINE void AddUnit(const Chunk<kOf>& chunk, int first, int64_t unit, Total&& total) {
    const auto at = [&](int p) LOWBIT_STEP { return ((first + p) * kChunkUnits + unit) * 16; };
    Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
      if constexpr (kInteger) {
        const Ints s = LoadInts(chunk.sub_scale + at(p));
        Unroll<0, kTokens>([&](auto t) LOWBIT_STEP {
          if constexpr (kHalf) partial[t][p] = Dot::template MulWords<false>(partial[t][p], total(t, p), s);
          if constexpr (!kHalf) partial[t][p] = MulAddInts(total(t, p), s, partial[t][p]);
        });
      } else {
        const Floats s = LoadFloats(chunk.scale + at(p));
        Unroll<0, kTokens>(
            [&](auto t) LOWBIT_STEP { partial[t][p] = MulAdd(ToFloats(total(t, p)), s, partial[t][p]); });
      }
    });
    if constexpr (!kInteger && !kCentred) {
      Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
        const Floats m = LoadFloats(chunk.minimum + at(p));
        Unroll<0, kTokens>([&](auto t) LOWBIT_STEP {
          float sum;
          std::memcpy(&sum, chunk.bias + t * kChunkUnits + unit, 4);
          partial[t][p] = MulAdd(SetFloats(sum), m, partial[t][p]);
        });
      });
    }
  }

  // Adds block `block`, which held the units [begin, end), to y.
  template <int kOf>
  HWY_INLINE void AddTo(const Chunk<kOf>& chunk, int first, int64_t block, int64_t begin, int64_t end) {
    Unroll<0, kTokens>([&](auto t) LOWBIT_STEP {
      const Floats xs = SetFloats(chunk.x_scale[t * kChunkBlocks + block]);
      [[maybe_unused]] Ints lowered[kPanels];
      if constexpr (kInteger && !kCentred) {
        for (int p = 0; p < kPanels; ++p) lowered[p] = ZeroInts();
        const auto lower = [&](int64_t u) LOWBIT_STEP {
          const Ints total = SetInts(chunk.bias[t * kChunkUnits + begin + u]);
          Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
            const Ints minimum = LoadInts(chunk.sub_minimum + ((first + p) * kChunkUnits + begin + u) * 16);
            lowered[p] = Dot::template MulWords<true>(lowered[p], total, minimum);
          });
        };
        constexpr int kWhole = kHalf ? 8 : 4;
        if (HWY_LIKELY(end - begin == kWhole)) {
          Unroll<0, kWhole>(lower);
        } else {
          for (int64_t u = 0; u < end - begin; ++u) lower(u);
        }
      }
      Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
        float* y = chunk.y + (t * kOf + first + p) * 16;
        Floats value;
        if constexpr (kInteger) {
          const int64_t at = ((first + p) * kChunkBlocks + block) * 16;
          value = Mul(LoadFloats(chunk.super + at), ToFloats(partial[t][p]));
          if constexpr (!kCentred)
            value = Sub(value, Mul(LoadFloats(chunk.super_min + at), ToFloats(lowered[p])));
        } else {
          value = partial[t][p];
        }
        StoreFloats(MulAdd(xs, value, LoadFloats(y)), y);
      });
    });
  }
};

// kHalf: units of 16 columns, two a tile.
template <class Dot, bool kHalf, bool kCentred, bool kInteger, int kPanels, int kTokens>
HWY_INLINE void MultiplyChunk(const Chunk<kPanels>& chunk) {
  constexpr int kQuads = kHalf ? 4 : 8, kUnitsHere = kHalf ? 2 : 1;
  using Sum = typename Dot::template Sum<8, kQuads>;
  const uint8_t* codes[kPanels];
  for (int p = 0; p < kPanels; ++p) codes[p] = chunk.codes[p];
  const int8_t* x = chunk.x;
  const int64_t x_stride = chunk.x_stride;
  const int64_t tiles_per_unit = kHalf ? 1 : UnitColumns(chunk.level) / kTileColumns;

  int64_t unit = 0, left = chunk.tiles;
  for (int64_t block = 0; left > 0; ++block) {
    BlockSums<Dot, kHalf, kCentred, kInteger, kPanels, kTokens> sums;
    const int64_t first_unit = unit;
    int64_t in_block = std::min<int64_t>(left, kActivationBlock / kTileColumns);
    left -= in_block;
    while (in_block > 0) {
      int64_t in_unit = std::min(in_block, tiles_per_unit);
      in_block -= in_unit;
      Unroll<0, kUnitsHere>([&](auto half) LOWBIT_STEP {
        Sum sum[kTokens][kPanels];
        Unroll<0, kTokens>([&](auto t) LOWBIT_STEP {
          const Ints start = kCentred ? SetInts(chunk.bias[t * kChunkUnits + unit]) : ZeroInts();
          Unroll<0, kPanels>([&](auto p) LOWBIT_STEP { sum[t][p].Start(start); });
        });
        do {
          Unroll<0, kQuads>([&](auto i) LOWBIT_STEP {
            constexpr int q = decltype(half)::value * 4 + decltype(i)::value;
            Bytes w[kPanels];
            Unroll<0, kPanels>([&](auto p) LOWBIT_STEP { w[p] = LoadBytes(codes[p] + 64 * q); });
            Unroll<0, kTokens>([&](auto t) LOWBIT_STEP {
              const Quad four = LoadQuad(x + t * x_stride + 4 * q);
              Unroll<0, kPanels>(
                  [&](auto p) LOWBIT_STEP { sum[t][p].template Step<decltype(i)::value>(w[p], four); });
            });
          });
          if constexpr (!kHalf || decltype(half)::value == 1) {
            x += kTileColumns;
            for (int p = 0; p < kPanels; ++p) codes[p] += 64 * 8;
          }
        } while (--in_unit > 0);
        sums.AddUnit(chunk, 0, unit, [&](auto t, auto p) LOWBIT_STEP { return sum[t][p].Total(); });
        ++unit;
      });
    }
    sums.AddTo(chunk, 0, block, first_unit, unit);
  }
}

// Sums of tiles over one block of 128 columns, of units of 32 at least.
template <int kPanels>
constexpr int64_t kTileTotals = int64_t{kTileTokens} * kPanelRows*(kActivationBlock / 32) * int64_t{kPanels};

// The same from products of tiles, for all of `tokens` tokens. at(t, n) is the chunk from token t on, of
// which n are multiplied; `totals` has room for two blocks of sums. The tiles of a block are multiplied
// between the vector instructions that add up the block before.
template <class Dot, int kLevel, bool kCentred, bool kInteger, int kPanels, class At>
HWY_INLINE void MultiplyTileChunk(const Chunk<kPanels>& chunk, int64_t tokens, At&& at, int32_t* totals) {
  constexpr int kProducts = Dot::template kProducts<kLevel, kPanels>, kUnits = kProducts / kPanels;
  constexpr int64_t kColumns = UnitColumns(kLevel);
  constexpr int kAhead = kTileTokens * kActivationBlock / 64 / kProducts;
  const int64_t units = (chunk.tiles * kTileColumns + kColumns - 1) / kColumns;
  const int64_t blocks = (units + kUnits - 1) / kUnits;
  const int64_t steps = (tokens + kTileTokens - 1) / kTileTokens * blocks;
  int32_t *next = totals, *known = totals + kTileTotals<kPanels>;
  Chunk<kPanels> here = chunk, before = chunk;
  for (int64_t step = 0, block = 0, token = 0, rows = 0; step <= steps; ++step) {
    const bool add = step > 0;
    const bool multiply = step < steps;
    if (block <= 1) before = here;
    if (block == 0 && multiply) {
      const int64_t missing = tokens - token;
      if (step == 0 || missing < kTileTokens) {
        rows = std::min<int64_t>(kTileTokens, missing);
        Dot::Configure(kLevel, static_cast<int>(rows));
      }
      here = at(token, rows);
      token += rows;
    }
    const uint8_t* codes[kPanels];
    for (int p = 0; p < kPanels; ++p) codes[p] = chunk.codes[p] + block * kActivationBlock * kPanelRows;
    const int8_t* const x = here.x + block * kActivationBlock;
    // The activations of the next step, which lie in the second-level cache.
    const int8_t* const ahead = block + 1 < blocks ? x + kActivationBlock : here.x + rows * chunk.x_stride;
    const int64_t block_before = (block == 0 ? blocks : block) - 1;
    const int64_t first_unit = block_before * kUnits, end_unit = std::min(units, first_unit + kUnits);
    Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
      BlockSums<Dot, false, kCentred, kInteger, 1, kTileTokens> sums;
      Unroll<0, kUnits>([&](auto u) LOWBIT_STEP {
        constexpr int n = decltype(p)::value * kUnits + decltype(u)::value;
        if (multiply) {
          Unroll<n * kAhead, (n + 1) * kAhead>([&](auto line) LOWBIT_STEP {
            __builtin_prefetch(ahead + line % kTileTokens * chunk.x_stride + line / kTileTokens * 64);
          });
          Dot::template Multiply<kCentred, kLevel, kPanels, n>(codes, x, chunk.x_stride, next);
        }
        if (add && first_unit + u < end_unit) {
          const int32_t* from = known + (u * kPanels + p) * kTileTokens * kPanelRows;
          sums.AddUnit(before, p, first_unit + u,
                       [&](auto t, auto) LOWBIT_STEP { return LoadInts(from + t * kPanelRows); });
        }
      });
      if (add) sums.AddTo(before, p, block_before, first_unit, end_unit);
    });
    if (multiply) Dot::template Finish<kLevel, kPanels>(next);
    std::swap(next, known);
    if (++block == blocks) block = 0;
  }
}

// bias of `count` units from `sums`, as Chunk wants it.
template <bool kCentred>
HWY_INLINE void MakeBias(const int32_t* sums, int64_t count, int centre, int32_t* bias) {
  if constexpr (kCentred) {
    for (int64_t u = 0; u < count; ++u) bias[u] = -(sums[u] * centre);
  } else {
    for (int64_t u = 0; u < count; ++u) {
      const auto total = static_cast<float>(sums[u]);
      std::memcpy(bias + u, &total, 4);
    }
  }
}

#endif  // LOWBIT_VECTOR_TARGET

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#endif  // LOWBIT_KERNEL_CHUNK_INL_H_
