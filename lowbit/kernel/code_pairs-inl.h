// Levels of vector codes of at most 4 bits, two blocks at a time, where processors shift, multiply and look
// up bits of bytes (HasByteFields), and the sums of one query over them. code_scan.h specifies the bytes.

#if defined(LOWBIT_KERNEL_CODE_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOWBIT_KERNEL_CODE_PAIRS_INL_H_
#undef LOWBIT_KERNEL_CODE_PAIRS_INL_H_
#else
#define LOWBIT_KERNEL_CODE_PAIRS_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"
#include "lowbit/kernel/byte_fields-inl.h"
#include "lowbit/kernel/code_scan.h"
#include "lowbit/kernel/unroll-inl.h"
#include "lowbit/kernel/vpdpbusd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
HWY_INLINE T Load(const uint8_t* p) {
  T word;
  std::memcpy(&word, p, sizeof(T));
  return word;
}

#if HWY_TARGET == HWY_AVX3

// Codes of at most 4 bits, two blocks at a time: a register holds the widest plane's bytes of both again and
// again, each 64-bit lane shifted to its coordinates, so that levels come in the order of PairOrder.
struct PairTables {
  __m512i level;          // of an index' low six bits
  __m512i shift;          // of the widest plane's lanes
  __m512i matrix;         // from windows to indices
  __m512i plane2, after;  // 3 bits: where the two-bit plane of both blocks is, and what follows in its ring
  __m512i plane1, turn;   // the one-bit plane, and how far to rotate its 32-bit lanes
};

constexpr int WidestPlane(int bits) {
  return bits == 3 ? 2 : bits;
}

// The coordinate, from the pair's first one, of the bytes 4 e to 4 e + 3.
constexpr int PairOrder(int width, int e) {
  const int byte = e / 2 % width * 8 + e % 2 * 4, row = 4 * width;
  return byte / row * static_cast<int>(kCodeBlock) + byte % row + row * (e / 2 / width);
}

template <int kBits, bool kTrellis>
PairTables PairTablesOf(const CodeAlphabet& alphabet) {
  constexpr int kWidth = WidestPlane(kBits);
  alignas(64) uint8_t level[64];
  for (size_t i = 0; i < 64; ++i)
    level[i] = alphabet.table[i % (kTrellis ? kBits <= 2 ? 16 : 32 : size_t{1} << kBits)];
  alignas(64) uint64_t shift[8];
  for (int i = 0; i < 8; ++i) shift[i] = static_cast<uint64_t>(kWidth * (i / kWidth));
  // Dwords of the 16 bytes at 0 and (from 16 on) of those at 8: where the planes lie.
  constexpr uint32_t kPlane2[4] = {0, 1, 17, 18}, kAfter[4] = {1, 2, 16, 17}, kPlane1[4] = {0, 0, 3, 3};
  alignas(64) uint32_t plane2[16], after[16], plane1[16], turn[16];
  for (uint32_t e = 0; e < 16; ++e) {
    plane2[e] = kPlane2[e % 4], after[e] = kAfter[e % 4], plane1[e] = kPlane1[e % 4];
    turn[e] = (2 * (e / 4) + e % 2 - (kTrellis ? 4 : 2)) & 31;
  }
  const auto load = [](const void* p) { return _mm512_load_si512(p); };
  // index = (v ^ (v >> 5)) & 15, and bit 4 of v with 4 bits.
  const int64_t matrix = int64_t{0x2142840800000000} | (kBits == 4 ? int64_t{0x10} << 24 : 0);
  return {load(level),  load(shift), _mm512_set1_epi64(matrix), load(plane2), load(after),
          load(plane1), load(turn)};
}

template <class T>
HWY_INLINE __m512i Everywhere(const uint8_t* p) {
  if constexpr (sizeof(T) == 4) return _mm512_set1_epi32(static_cast<int>(Load<uint32_t>(p)));
  if constexpr (sizeof(T) == 8) return _mm512_set1_epi64(static_cast<int64_t>(Load<uint64_t>(p)));
  if constexpr (sizeof(T) == 16)
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  if constexpr (sizeof(T) == 32)
    return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
HWY_INLINE __m512i Sixteen(const uint8_t* p) {
  return _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

// Levels of the pair of blocks at `p`, after which the ring goes on at `next`.
template <int kBits, bool kTrellis>
HWY_INLINE __m512i PairLevels(const PairTables& t, const uint8_t* p, const uint8_t* next) {
  constexpr int kWidth = WidestPlane(kBits);
  __m512i plane, after = _mm512_setzero_si512(), low = after;
  if constexpr (kBits == 1) {
    plane = Everywhere<uint64_t>(p);
    if constexpr (kTrellis) after = Everywhere<uint32_t>(next);
  } else if constexpr (kBits == 2) {
    plane = Everywhere<__m128i>(p);
    if constexpr (kTrellis) after = _mm512_alignr_epi8(Everywhere<uint64_t>(next), plane, 8);
  } else if constexpr (kBits == 4) {
    plane = Everywhere<__m256i>(p);
    if constexpr (kTrellis)
      after = _mm512_mask_blend_epi64(0x88, _mm512_permutex_epi64(plane, 0x39), Everywhere<uint64_t>(next));
  } else {
    const __m512i second = Sixteen(p + 8);
    plane = _mm512_permutex2var_epi32(Sixteen(p), t.plane2, second);
    if constexpr (kTrellis)
      after = _mm512_permutex2var_epi32(
          second, t.after, _mm512_castsi128_si512(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(next))));
    low = _mm512_rorv_epi32(_mm512_permutexvar_epi32(t.plane1, second), t.turn);
  }
  __m512i index;
  if constexpr (kTrellis) {
    index = TimesBits(ShiftRightThrough(plane, after, t.shift), t.matrix);
    if constexpr (kBits == 3)  // index | (low & 16)
      index = _mm512_ternarylogic_epi32(index, _mm512_set1_epi8(16), low, 0xf8);
  } else {
    index = _mm512_srlv_epi64(plane, t.shift);
    if constexpr (kBits == 3)  // the low two bits, and what lies above
      index = _mm512_ternarylogic_epi32(index, _mm512_set1_epi8((1 << kWidth) - 1), low, 0xe2);
  }
  return LookUp64(t.level, index);
}

using PairSums = hn::Vec<hn::FixedTag<int32_t, 16> >;

// Adds up all pairs of blocks of kRows codes, of a query in the order of the levels.
template <int kBits, bool kTrellis, int kRows>
HWY_INLINE void ScanPairs(const PairTables& tables, const int8_t* query, int64_t blocks,
                          const uint8_t* packed, int64_t stride, PairSums* sum) {
  for (int i = 0; i < kRows; ++i) sum[i] = PairSums{_mm512_setzero_si512()};
  for (int64_t b = 0; b + 2 <= blocks; b += 2) {
    const int64_t at = b * 4 * kBits, next = b + 2 < blocks ? at + 8 * kBits : 0;
    const PairSums q{_mm512_loadu_si512(query + b * kCodeBlock)};
    for (int i = 0; i < kRows; ++i) {
      const uint8_t* row = packed + i * stride;
      sum[i] = DotBytes(sum[i], PairSums{PairLevels<kBits, kTrellis>(tables, row + at, row + next)}, q);
    }
  }
}

// In each 128-bit lane the sums of those lanes of four vectors.
HWY_INLINE __m512i AddInLanes(const PairSums sum[4]) {
  const auto two = [](__m512i a, __m512i b) LOWBIT_STEP {
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  };
  const __m512i a = two(sum[0].raw, sum[1].raw), b = two(sum[2].raw, sum[3].raw);
  return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

// 16 codes at a time, of an even number of blocks.
template <int kBits, bool kTrellis>
void ScanSixteen(const PairTables& tables, const int8_t* query, int64_t blocks, const uint8_t* packed,
                 int64_t stride, int32_t* sums) {
  __m512i four[4];
  Unroll<0, 4>([&](auto g) LOWBIT_STEP {
    PairSums sum[4];
    ScanPairs<kBits, kTrellis, 4>(tables, query, blocks, packed + 4 * g * stride, stride, sum);
    four[g] = AddInLanes(sum);
  });
  // Lanes 0 and 2, 1 and 3 of both.
  const auto two = [](__m512i a, __m512i b) LOWBIT_STEP {
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
  };
  _mm512_storeu_si512(sums, two(two(four[0], four[1]), two(four[2], four[3])));
}

#else
struct PairTables {};
#endif

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#endif  // LOWBIT_KERNEL_CODE_PAIRS_INL_H_
