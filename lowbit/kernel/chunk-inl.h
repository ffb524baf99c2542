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

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
#if LOWBIT_VECTOR_TARGET

// At most this many units are decoded ahead: 2 KiB of scales a panel.
constexpr int64_t kChunkUnits = 32, kChunkBlocks = 4;

// What one chunk multiplies, codes unpacked to one a byte. Entry p is a panel, t a token, u a unit counted
// from the chunk's start.
template <int kPanels>
struct Chunk {
  int64_t tiles;           // 32 columns each
  int64_t tiles_per_unit;  // 1, 2 or 4 (units of 16 columns: 1)
  const uint8_t* codes[kPanels];
  const float* scale;    // [p][kChunkUnits][16]
  const float* minimum;  // [p][kChunkUnits][16], unless centred
  // kInteger, in the place of both: sub-scales, sub-minima and what multiplies them.
  const int32_t *sub_scale, *sub_minimum;
  const float *super, *super_min;  // [p][kChunkBlocks][16]
  const int8_t* x;                 // token t at x + t * x_stride
  int64_t x_stride;
  const float* x_scale;  // one for each 128 columns; token t at x_scale + t * x_scale_stride
  int64_t x_scale_stride;
  // [t][kChunkUnits]: centred: -2^(bits-1) sum q; otherwise sum q if kInteger, else the bits of float(sum q)
  const int32_t* bias;
  float* y;  // [t][p][16], added to
};

// kHalf: units of 16 columns, two a tile. kInteger: ScalesIntegers.
template <class Dot, bool kHalf, bool kCentred, bool kInteger, int kPanels, int kTokens>
HWY_INLINE void MultiplyChunk(const Chunk<kPanels>& chunk) {
  constexpr int kQuads = kHalf ? 4 : 8;
  using Sum = typename Dot::template Sum<8, kQuads>;
  const uint8_t* codes[kPanels];
  for (int p = 0; p < kPanels; ++p) codes[p] = chunk.codes[p];
  const float* scale = chunk.scale;
  const float* minimum = chunk.minimum;
  const int32_t* sub_scale = chunk.sub_scale;
  const int32_t* sub_minimum = chunk.sub_minimum;
  const int8_t* x = chunk.x;
  const int32_t* bias = chunk.bias;
  const int64_t x_stride = chunk.x_stride;

  int64_t left = chunk.tiles;
  for (int64_t block = 0; left > 0; ++block) {
    std::conditional_t<kInteger, Ints, Floats> partial[kTokens][kPanels];
    Unroll<0, kTokens>([&](auto t) LOWBIT_STEP {
      Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
        if constexpr (kInteger) partial[t][p] = ZeroInts();
        if constexpr (!kInteger) partial[t][p] = ZeroFloats();
      });
    });
    const int32_t *const block_bias = bias, *const block_minimum = sub_minimum;
    int64_t in_block = std::min<int64_t>(left, kActivationBlock / kTileColumns);
    left -= in_block;
    while (in_block > 0) {
      constexpr int kUnitsHere = kHalf ? 2 : 1;
      int64_t in_unit = kHalf ? 1 : std::min(in_block, chunk.tiles_per_unit);
      in_block -= in_unit;
      Unroll<0, kUnitsHere>([&](auto half) LOWBIT_STEP {
        Sum sum[kTokens][kPanels];
        Unroll<0, kTokens>([&](auto t) LOWBIT_STEP {
          const Ints start = kCentred ? SetInts(bias[t * kChunkUnits]) : ZeroInts();
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
        Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
          if constexpr (kInteger) {
            const Ints s = LoadInts(sub_scale + p * kChunkUnits * 16);
            Unroll<0, kTokens>([&](auto t) LOWBIT_STEP {
              const Ints total = sum[t][p].Total();
              if constexpr (kHalf) partial[t][p] = Dot::template MulWords<false>(partial[t][p], total, s);
              if constexpr (!kHalf) partial[t][p] = MulAddInts(total, s, partial[t][p]);
            });
          } else {
            const Floats s = LoadFloats(scale + p * kChunkUnits * 16);
            Unroll<0, kTokens>([&](auto t) LOWBIT_STEP {
              partial[t][p] = MulAdd(ToFloats(sum[t][p].Total()), s, partial[t][p]);
            });
          }
        });
        if constexpr (kInteger) {
          sub_scale += 16;
          if constexpr (!kCentred) sub_minimum += 16;
        } else if constexpr (!kCentred) {
          Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
            const Floats m = LoadFloats(minimum + p * kChunkUnits * 16);
            Unroll<0, kTokens>([&](auto t) LOWBIT_STEP {
              float total;
              std::memcpy(&total, bias + t * kChunkUnits, 4);
              partial[t][p] = MulAdd(SetFloats(total), m, partial[t][p]);
            });
          });
          minimum += 16;
        }
        scale += 16;
        ++bias;
      });
    }
    Unroll<0, kTokens>([&](auto t) LOWBIT_STEP {
      const Floats xs = SetFloats(chunk.x_scale[t * chunk.x_scale_stride + block]);
      [[maybe_unused]] Ints lowered[kPanels];
      if constexpr (kInteger && !kCentred) {
        for (int p = 0; p < kPanels; ++p) lowered[p] = ZeroInts();
        const auto lower = [&](int64_t u) LOWBIT_STEP {
          const Ints total = SetInts(block_bias[t * kChunkUnits + u]);
          Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
            const Ints minimum_of = LoadInts(block_minimum + (p * kChunkUnits + u) * 16);
            lowered[p] = Dot::template MulWords<true>(lowered[p], total, minimum_of);
          });
        };
        constexpr int kWhole = kHalf ? 8 : 4;
        const int64_t units = bias - block_bias;
        if (HWY_LIKELY(units == kWhole)) {
          Unroll<0, kWhole>(lower);
        } else {
          for (int64_t u = 0; u < units; ++u) lower(u);
        }
      }
      Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
        float* y = chunk.y + (t * kPanels + p) * 16;
        Floats value;
        if constexpr (kInteger) {
          const int64_t at = (p * kChunkBlocks + block) * 16;
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
