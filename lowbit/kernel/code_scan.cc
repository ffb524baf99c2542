#include "lowbit/kernel/code_scan.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "lowbit/base/buffer.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/code_scan.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "lowbit/kernel/code_pairs-inl.h"
#include "lowbit/kernel/unroll-inl.h"
#include "lowbit/kernel/vpdpbusd-inl.h"

#ifndef LOWBIT_KERNEL_CODE_SCAN_EXTRA_
#define LOWBIT_KERNEL_CODE_SCAN_EXTRA_
namespace lowbit {
// What the processor has beyond the target.
enum class Extra : uint8_t { kNothing, kByteDot, kByteFields };  // the last: byte dots as well
}  // namespace lowbit
#endif

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void Scan(Extra, const CodeAlphabet& alphabet, const int8_t* query, int64_t queries, int64_t blocks,
          const uint8_t* packed, int64_t stride, int64_t n, int32_t* sums) {
  const int64_t width = blocks * kCodeBlock;
  std::vector<uint8_t> levels(static_cast<size_t>(width));
  for (int64_t i = 0; i < n; ++i) {
    DecodeLevels(alphabet, packed + i * stride, blocks, levels.data());
    for (int64_t r = 0; r < queries; ++r) {
      int32_t sum = 0;
      for (int64_t j = 0; j < width; ++j) sum += query[r * width + j] * levels[static_cast<size_t>(j)];
      sums[r * n + i] = sum;
    }
  }
}

void Decode(const CodeAlphabet& alphabet, int64_t blocks, const uint8_t* packed, int64_t stride, int64_t n,
            uint8_t* levels) {
  for (int64_t i = 0; i < n; ++i)
    DecodeLevels(alphabet, packed + i * stride, blocks, levels + i * blocks * kCodeBlock);
}

#else

using DB = hn::CappedTag<uint8_t, 32>;
using DS = hn::CappedTag<int8_t, 32>;
using DH = hn::RepartitionToWide<DB>;
using DU = hn::CappedTag<uint32_t, 8>;
using DQ = hn::CappedTag<uint64_t, 4>;
using DI = hn::CappedTag<int32_t, 8>;
using Bytes = hn::Vec<DB>;
using Ints = hn::Vec<DI>;
constexpr int kPartBytes = static_cast<int>(hn::MaxLanes(DB()));
constexpr int kParts = kCodeBlock / kPartBytes;
constexpr int64_t kLine = 64;

#define LOWBIT_PARTS(p) _Pragma("GCC unroll 2") for (int p = 0; p < kParts; ++p)

// Shifts of a plane's lanes to the right, and of the word that follows in the ring to the left, less one.
alignas(32) constexpr uint32_t kRight1[8] = {0, 1, 2, 3, 4, 5, 6, 7};
alignas(32) constexpr uint32_t kLeft1[8] = {31, 30, 29, 28, 27, 26, 25, 24};
alignas(32) constexpr uint64_t kRight2[4] = {0, 2, 4, 6};
alignas(32) constexpr uint64_t kLeft2[4] = {63, 61, 59, 57};
alignas(32) constexpr uint64_t kRight4[4] = {0, 0, 4, 4};
alignas(32) constexpr uint64_t kLeft4[4] = {63, 63, 59, 59};
// Brings the field of one bit to bit 7 of its byte.
alignas(32) constexpr uint32_t kTop1[8] = {7, 6, 5, 4, 3, 2, 1, 0};

// word << (left + 1), zero where that is the whole word.
template <class DW>
HWY_INLINE hn::Vec<DW> PushUp(DW d, hn::Vec<DW> word, const hn::TFromD<DW>* left) {
  const auto count = hn::Load(d, left);
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  return hn::Shl(word, hn::Add(count, hn::Set(d, 1)));  // a constant; the instruction gives zero by itself
#else
  return hn::Shl(hn::ShiftLeft<1>(word), count);
#endif
}

// A plane of kWidth bits, each byte with its field at the bottom and what follows in the word above it. With
// kRing the word's last bytes go on into the plane's word at `next`.
template <int kWidth, bool kRing>
HWY_INLINE Bytes Spread(const uint8_t* packed, const uint8_t* next, int part) {
  const DB db;
  if constexpr (kWidth == 1) {
    const DU du;
    const int at = part * static_cast<int>(hn::MaxLanes(du));
    auto v = hn::Shr(hn::Set(du, Load<uint32_t>(packed)), hn::Load(du, kRight1 + at));
    if constexpr (kRing) v = hn::Or(v, PushUp(du, hn::Set(du, Load<uint32_t>(next)), kLeft1 + at));
    return hn::BitCast(db, v);
  } else if constexpr (kWidth == 2) {
    const DQ dq;
    const int at = part * static_cast<int>(hn::MaxLanes(dq));
    auto v = hn::Shr(hn::Set(dq, Load<uint64_t>(packed)), hn::Load(dq, kRight2 + at));
    if constexpr (kRing) v = hn::Or(v, PushUp(dq, hn::Set(dq, Load<uint64_t>(next)), kLeft2 + at));
    return hn::BitCast(db, v);
  } else {
    const DQ dq;
    const int at = part * static_cast<int>(hn::MaxLanes(dq));
    const auto word = hn::BitCast(dq, hn::LoadDup128(db, packed));
    auto v = hn::Shr(word, hn::Load(dq, kRight4 + at));
    if constexpr (kRing) {
      // After the block's first eight bytes come its last eight, then the next block's first.
      const auto first = hn::BitCast(dq, hn::LoadDup128(db, next));
      const auto after =
          hn::BitCast(dq, hn::CombineShiftRightBytes<8>(db, hn::BitCast(db, first), hn::BitCast(db, word)));
      v = hn::Or(v, PushUp(dq, after, kLeft4 + at));
    }
    return hn::BitCast(db, v);
  }
}

HWY_INLINE Bytes Mask(Bytes v, int mask) {
  return hn::And(v, hn::Set(DB(), static_cast<uint8_t>(mask)));
}
// Shifts of 16-bit lanes: callers mask away what crosses into a byte.
template <int kBits>
HWY_INLINE Bytes Right(Bytes v) {
  return hn::BitCast(DB(), hn::ShiftRight<kBits>(hn::BitCast(DH(), v)));
}
template <int kBits>
HWY_INLINE Bytes Left(Bytes v) {
  return hn::BitCast(DB(), hn::ShiftLeft<kBits>(hn::BitCast(DH(), v)));
}

struct Tables {
  Bytes low, high;
};

// Bytes with bit 7 set take their level from `high`.
HWY_INLINE Bytes LookUp(const Tables& tables, Bytes index, Bytes side) {
  const DS ds;
  const auto high = hn::RebindMask(DB(), hn::Lt(hn::BitCast(ds, side), hn::Zero(ds)));
  return hn::IfThenElse(high, hn::TableLookupBytes(tables.high, index),
                        hn::TableLookupBytes(tables.low, index));
}

// Levels of one block, after which the ring goes on at `next`; `part` of kParts.
template <int kBits, bool kTrellis>
HWY_INLINE Bytes Levels(const Tables& tables, const uint8_t* packed, const uint8_t* next, int part) {
  if constexpr (kTrellis) {
    constexpr int kWidth = kBits == 3 ? 2 : kBits;
    const Bytes v = Spread<kWidth, true>(packed, next, part);
    const Bytes index = hn::Xor(Mask(v, 15), Mask(Right<5>(v), 7));
    if constexpr (kBits <= 2) return hn::TableLookupBytes(tables.low, index);
    if constexpr (kBits == 3) {
      const DU du;
      const int at = part * static_cast<int>(hn::MaxLanes(du));
      const auto side = hn::Shl(hn::Set(du, Load<uint32_t>(packed + 8)), hn::Load(du, kTop1 + at));
      return LookUp(tables, index, hn::BitCast(DB(), side));
    }
    return LookUp(tables, index, Left<3>(v));
  } else if constexpr (kBits == 3) {
    const Bytes low = Mask(Spread<2, false>(packed, nullptr, part), 3);
    const Bytes high = Mask(Spread<1, false>(packed + 8, nullptr, part), 1);
    return hn::TableLookupBytes(tables.low, hn::Or(low, Left<2>(high)));
  } else if constexpr (kBits <= 4) {
    return hn::TableLookupBytes(tables.low,
                                Mask(Spread<kBits, false>(packed, nullptr, part), (1 << kBits) - 1));
  } else {
    Bytes level = Mask(Spread<4, false>(packed, nullptr, part), 15);
    if constexpr (kBits == 8)
      return hn::Or(level, Left<4>(Mask(Spread<4, false>(packed + 16, nullptr, part), 15)));
    if constexpr ((kBits & 2) != 0) {
      level = hn::Or(level, Left<4>(Mask(Spread<2, false>(packed + 16, nullptr, part), 3)));
    }
    if constexpr ((kBits & 1) != 0) {
      constexpr int kAt = kBits == 7 ? 24 : 16;
      level = hn::Or(level, Left<kBits - 1>(Mask(Spread<1, false>(packed + kAt, nullptr, part), 1)));
    }
    return level;
  }
}

// sum of four neighbouring products in each 32-bit lane (in some order of the lanes); level <= 127.
HWY_INLINE Ints Products(Bytes level, hn::Vec<DS> q) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  const __m256i pairs = _mm256_maddubs_epi16(level.raw, q.raw);
  return Ints{_mm256_madd_epi16(pairs, _mm256_set1_epi16(1))};
#else
  const hn::Repartition<int16_t, DS> dh;
  const hn::Half<DS> half;
  const auto l = hn::BitCast(DS(), level);
  auto odd = hn::Zero(DI());
  const auto low =
      hn::ReorderWidenMulAccumulate(DI(), hn::PromoteTo(dh, hn::LowerHalf(half, l)),
                                    hn::PromoteTo(dh, hn::LowerHalf(half, q)), hn::Zero(DI()), odd);
  const auto sum = hn::ReorderWidenMulAccumulate(DI(), hn::PromoteTo(dh, hn::UpperHalf(half, l)),
                                                 hn::PromoteTo(dh, hn::UpperHalf(half, q)), low, odd);
  return hn::Add(sum, odd);
#endif
}

// The sums of the lanes of four vectors.
HWY_INLINE void StoreSums(const Ints sum[4], int32_t* out) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  const __m256i pairs =
      _mm256_hadd_epi32(_mm256_hadd_epi32(sum[0].raw, sum[1].raw), _mm256_hadd_epi32(sum[2].raw, sum[3].raw));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                   _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1)));
#else
  for (int r = 0; r < 4; ++r) out[r] = hn::GetLane(hn::SumOfLanes(DI(), sum[r]));
#endif
}

template <int kBits>
HWY_INLINE Ints Accumulate(Ints sum, Bytes level, hn::Vec<DS> q) {
  if constexpr (kBits < 8) return hn::Add(sum, Products(level, q));
  // 255 would overflow the 16-bit sums: the low bit goes by itself.
  const Ints high = Products(Mask(Right<1>(level), 127), q);
  return hn::Add(sum, hn::Add(hn::Add(high, high), Products(Mask(level, 1), q)));
}

template <int kBits, bool kTrellis>
void DecodeWith(const Tables& tables, int64_t blocks, const uint8_t* packed, int64_t stride, int64_t n,
                uint8_t* levels) {
  const DB db;
  for (int64_t i = 0; i < n; ++i) {
    const uint8_t* row = packed + i * stride;
    for (int64_t b = 0; b < blocks; ++b, levels += kCodeBlock) {
      const uint8_t* at = row + b * 4 * kBits;
      const uint8_t* next = b + 1 < blocks ? at + 4 * kBits : row;
      LOWBIT_PARTS(part) {
        hn::StoreU(Levels<kBits, kTrellis>(tables, at, next, part), db, levels + part * kPartBytes);
      }
    }
  }
}

// A query and what turns codes into levels.
struct OneQuery {
  Tables tables;
  PairTables pairs;
  const int8_t* query;
  const int8_t* in_pairs;  // the same in the order of the pairs' levels
};

// One query against kRows codes at a time.
template <int kBits, bool kTrellis, Extra kExtra, int kRows>
HWY_INLINE void ScanFew(const OneQuery& q, int64_t blocks, const uint8_t* packed, int64_t stride,
                        int32_t* sums) {
  const DS ds;
  Ints sum[4];
  for (int i = 0; i < 4; ++i) sum[i] = hn::Zero(DI());
  int64_t b = 0;
#if HWY_TARGET == HWY_AVX3
  if constexpr (kExtra == Extra::kByteFields && kBits <= 4) {
    PairSums pairs[kRows];
    ScanPairs<kBits, kTrellis, kRows>(q.pairs, q.in_pairs, blocks, packed, stride, pairs);
    const hn::FixedTag<int32_t, 16> di;
    for (int i = 0; i < kRows; ++i)
      sum[i] = hn::Add(hn::LowerHalf(pairs[i]), hn::UpperHalf(hn::Half<decltype(di)>(), pairs[i]));
    b = blocks / 2 * 2;
  }
#endif
  for (; b < blocks; ++b) {
    const int64_t at = b * 4 * kBits, next = b + 1 < blocks ? at + 4 * kBits : 0;
    LOWBIT_PARTS(part) {
      const auto bytes = hn::LoadU(ds, q.query + b * kCodeBlock + part * kPartBytes);
      for (int i = 0; i < kRows; ++i) {
        const uint8_t* row = packed + i * stride;
        const Bytes level = Levels<kBits, kTrellis>(q.tables, row + at, row + next, part);
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
        if constexpr (kExtra != Extra::kNothing) {
          sum[i] = DotBytes(sum[i], level, bytes);
          continue;
        }
#endif
        sum[i] = Accumulate<kBits>(sum[i], level, bytes);
      }
    }
  }
  int32_t out[4];
  StoreSums(sum, out);
  std::copy(out, out + kRows, sums);
}

// Four queries against decoded levels (rows, width).
template <int kBits>
void DotFour(const int8_t* query, int64_t width, const uint8_t* levels, int64_t rows, int32_t* sums,
             int64_t pitch) {
  const DB db;
  const DS ds;
  for (int64_t i = 0; i < rows; ++i, levels += width) {
    Ints sum[4];
    for (int r = 0; r < 4; ++r) sum[r] = hn::Zero(DI());
    for (int64_t j = 0; j < width; j += kPartBytes) {
      const auto level = hn::LoadU(db, levels + j);
      for (int r = 0; r < 4; ++r)
        sum[r] = Accumulate<kBits>(sum[r], level, hn::LoadU(ds, query + r * width + j));
    }
    int32_t out[4];
    StoreSums(sum, out);
    for (int r = 0; r < 4; ++r) sums[r * pitch + i] = out[r];
  }
}

template <int kBits, bool kTrellis, Extra kExtra>
void ScanWith(const CodeAlphabet& alphabet, const Tables& tables, const int8_t* query, int64_t queries,
              int64_t blocks, const uint8_t* packed, int64_t stride, int64_t n, int32_t* sums) {
  const int64_t width = blocks * kCodeBlock, four = queries / 4 * 4;
  if (four > 0) {
    // Rows are decoded once, into what the first cache level holds, for all queries.
    const int64_t run = std::max<int64_t>(1, 16384 / width);
    std::vector<uint8_t> levels(static_cast<size_t>(run * width));
    for (int64_t i = 0; i < n; i += run) {
      const int64_t count = std::min(run, n - i);
      DecodeWith<kBits, kTrellis>(tables, blocks, packed + i * stride, stride, count, levels.data());
      for (int64_t r = 0; r < four; r += 4)
        DotFour<kBits>(query + r * width, width, levels.data(), count, sums + r * n + i, n);
    }
  }
  if (four == queries) return;
  OneQuery one{tables, {}, nullptr, nullptr};
#if HWY_TARGET == HWY_AVX3
  thread_local Buffer<int8_t> in_pairs;
  if constexpr (kExtra == Extra::kByteFields && kBits <= 4) {
    one.pairs = PairTablesOf<kBits, kTrellis>(alphabet);
    in_pairs.Reserve(static_cast<size_t>(width));
    one.in_pairs = in_pairs.data();
  }
#endif
  (void)alphabet;
  for (int64_t r = four; r < queries; ++r) {
    one.query = query + r * width;
#if HWY_TARGET == HWY_AVX3
    if constexpr (kExtra == Extra::kByteFields && kBits <= 4) {
      for (int64_t j = 0; j < blocks / 2 * 2 * kCodeBlock; j += 64) {
        for (int e = 0; e < 16; ++e)
          std::memcpy(in_pairs.data() + j + 4 * e, one.query + j + PairOrder(WidestPlane(kBits), e), 4);
      }
    }
#endif
    // A few queries wait for memory: the codes that follow these n are asked for meanwhile.
    const auto fetch = [&](int64_t i, int64_t rows) LOWBIT_STEP {
      for (int64_t next = 0; next < rows * stride; next += kLine)
        __builtin_prefetch(packed + (n + i) * stride + next);
    };
    int64_t i = 0;
#if HWY_TARGET == HWY_AVX3
    if constexpr (kExtra == Extra::kByteFields && kBits <= 4) {
      for (; blocks % 2 == 0 && i + 16 <= n; i += 16) {
        fetch(i, 16);
        ScanSixteen<kBits, kTrellis>(one.pairs, one.in_pairs, blocks, packed + i * stride, stride,
                                     sums + r * n + i);
      }
    }
#endif
    for (; i + 4 <= n; i += 4) {
      fetch(i, 4);
      ScanFew<kBits, kTrellis, kExtra, 4>(one, blocks, packed + i * stride, stride, sums + r * n + i);
    }
    for (; i < n; ++i)
      ScanFew<kBits, kTrellis, kExtra, 1>(one, blocks, packed + i * stride, stride, sums + r * n + i);
  }
}

HWY_INLINE Tables TablesOf(const CodeAlphabet& alphabet) {
  const DB db;
  return {hn::LoadDup128(db, alphabet.table.data()), hn::LoadDup128(db, alphabet.table.data() + 16)};
}

// f(bits, trellis) with both as compile-time constants.
template <class F>
void Dispatch(const CodeAlphabet& alphabet, F f) {
  const auto of_width = [&](auto bits) {
    if constexpr (bits <= 4) {
      if (alphabet.trellis) return f(bits, std::true_type());
    }
    f(bits, std::false_type());
  };
  switch (alphabet.bits) {
    case 1:
      return of_width(std::integral_constant<int, 1>());
    case 2:
      return of_width(std::integral_constant<int, 2>());
    case 3:
      return of_width(std::integral_constant<int, 3>());
    case 4:
      return of_width(std::integral_constant<int, 4>());
    case 5:
      return of_width(std::integral_constant<int, 5>());
    case 6:
      return of_width(std::integral_constant<int, 6>());
    case 7:
      return of_width(std::integral_constant<int, 7>());
    default:
      return of_width(std::integral_constant<int, 8>());
  }
}

void Scan(Extra extra, const CodeAlphabet& alphabet, const int8_t* query, int64_t queries, int64_t blocks,
          const uint8_t* packed, int64_t stride, int64_t n, int32_t* sums) {
  const Tables tables = TablesOf(alphabet);
  Dispatch(alphabet, [&](auto bits, auto trellis) {
    const auto scan = [&](auto has) {
      ScanWith<bits, trellis, has>(alphabet, tables, query, queries, blocks, packed, stride, n, sums);
    };
#if HWY_TARGET == HWY_AVX3
    if (extra == Extra::kByteFields) return scan(std::integral_constant<Extra, Extra::kByteFields>());
#endif
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
    if (extra != Extra::kNothing) return scan(std::integral_constant<Extra, Extra::kByteDot>());
#endif
    (void)extra;
    scan(std::integral_constant<Extra, Extra::kNothing>());
  });
}

void Decode(const CodeAlphabet& alphabet, int64_t blocks, const uint8_t* packed, int64_t stride, int64_t n,
            uint8_t* levels) {
  const Tables tables = TablesOf(alphabet);
  Dispatch(alphabet, [&](auto bits, auto trellis) {
    DecodeWith<bits, trellis>(tables, blocks, packed, stride, n, levels);
  });
}

#endif  // HWY_TARGET

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(Scan);
HWY_EXPORT(Decode);

void ScanCodes(const CodeAlphabet& alphabet, const int8_t* query, int64_t queries, int64_t blocks,
               const uint8_t* packed, int64_t stride, int64_t n, int32_t* sums) {
  const Target target = CurrentTarget();
  const Extra extra = HasByteFields(target) ? Extra::kByteFields
                      : HasByteDot(target)  ? Extra::kByteDot
                                            : Extra::kNothing;
  LOWBIT_KERNEL(Scan)(extra, alphabet, query, queries, blocks, packed, stride, n, sums);
}

void DecodeCodes(const CodeAlphabet& alphabet, int64_t blocks, const uint8_t* packed, int64_t stride,
                 int64_t n, uint8_t* levels) {
  LOWBIT_KERNEL(Decode)(alphabet, blocks, packed, stride, n, levels);
}

}  // namespace lowbit
#endif  // HWY_ONCE
