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
constexpr int64_t kChunkUnits = 32;

// What one chunk multiplies, codes unpacked to one a byte. Entry p is a panel, t a token, u a unit counted
// from the chunk's start.
template <int kPanels>
struct Chunk {
  int64_t tiles;           // 32 columns each
  int64_t tiles_per_unit;  // 1, 2 or 4 (units of 16 columns: 1)
  const uint8_t* codes[kPanels];
  const float* scale;    // [p][kChunkUnits][16]
  const float* minimum;  // [p][kChunkUnits][16], unless centred
  const int8_t* x;       // token t at x + t * x_stride
  int64_t x_stride;
  const float* x_scale;  // one for each 128 columns; token t at x_scale + t * x_scale_stride
  int64_t x_scale_stride;
  const int32_t* bias;  // [t][kChunkUnits]: centred: -2^(bits-1) sum q; otherwise the bits of float(sum q)
  float* y;             // [t][p][16], added to
};

// kHalf: units of 16 columns, two a tile.
template <class Dot, bool kHalf, bool kCentred, int kPanels, int kTokens>
HWY_INLINE void MultiplyChunk(const Chunk<kPanels>& chunk) {
  constexpr int kQuads = kHalf ? 4 : 8;
  using Sum = typename Dot::template Sum<8, kQuads>;
  const uint8_t* codes[kPanels];
  for (int p = 0; p < kPanels; ++p) codes[p] = chunk.codes[p];
  const float* scale = chunk.scale;
  const float* minimum = chunk.minimum;
  const int8_t* x = chunk.x;
  const int32_t* bias = chunk.bias;
  const int64_t x_stride = chunk.x_stride;

  int64_t left = chunk.tiles;
  for (int64_t block = 0; left > 0; ++block) {
    Floats partial[kTokens][kPanels];
    Unroll<0, kTokens>([&](auto t) LOWBIT_STEP {
      Unroll<0, kPanels>([&](auto p) LOWBIT_STEP { partial[t][p] = ZeroFloats(); });
    });
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
          const Floats s = LoadFloats(scale + p * kChunkUnits * 16);
          Unroll<0, kTokens>([&](auto t) LOWBIT_STEP {
            partial[t][p] = MulAdd(ToFloats(sum[t][p].Total()), s, partial[t][p]);
          });
        });
        if constexpr (!kCentred) {
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
      Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
        float* y = chunk.y + (t * kPanels + p) * 16;
        StoreFloats(MulAdd(xs, partial[t][p], LoadFloats(y)), y);
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
