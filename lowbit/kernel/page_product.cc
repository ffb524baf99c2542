#include "lowbit/kernel/page_product.h"

#include <algorithm>
#include <type_traits>

#include "lowbit/base/error.h"
#include "lowbit/kernel/page_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/page_product.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "lowbit/kernel/page_dot-inl.h"

#ifndef LOWBIT_KERNEL_PAGE_PRODUCT_CC_
#define LOWBIT_KERNEL_PAGE_PRODUCT_CC_
namespace lowbit {
namespace {

[[maybe_unused]] constexpr int kPositions = kMaxPages * kCachePage;

}  // namespace
}  // namespace lowbit
#endif  // LOWBIT_KERNEL_PAGE_PRODUCT_CC_

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if LOWBIT_VECTOR_TARGET

using D8 = hn::Rebind<int8_t, DF>;
using D4 = hn::CappedTag<float, 4>;

// Queries, or the digits of their integers, that are multiplied together: as many sums as registers hold.
constexpr int kMaxTogether = HWY_TARGET == HWY_AVX3 ? 4 : 2;

// What runs through the lanes of up to four panels, a tree for each: lane i + lane i + 8, + 4, + 2, + 1. The
// same order whatever the register width.
template <int kCount>
HWY_INLINE hn::Vec<D4> SumOfEach(const Floats* f) {
  const D4 d4;
  hn::Vec<D4> four[4] = {hn::Zero(d4), hn::Zero(d4), hn::Zero(d4), hn::Zero(d4)};
  Unroll<0, kCount>([&](auto i) LOWBIT_STEP {
    alignas(64) float lane[16];
    StoreFloats(f[i], lane);
    const auto at = [&](int j) LOWBIT_STEP { return hn::Load(d4, lane + 4 * j); };
    four[i] = hn::Add(hn::Add(at(0), at(2)), hn::Add(at(1), at(3)));
  });
  const auto pairs = [&](hn::Vec<D4> a, hn::Vec<D4> b) LOWBIT_STEP {
    return hn::Add(hn::InterleaveLower(d4, a, b), hn::InterleaveUpper(d4, a, b));
  };
  return pairs(pairs(four[0], four[2]), pairs(four[1], four[3]));
}

// The greatest lanes of four vectors.
HWY_INLINE hn::Vec<D4> MaxOfEach(const hn::Vec<DF>* v) {
  const DF d;
  const D4 d4;
  const auto first = hn::Max(hn::InterleaveLower(d, v[0], v[2]), hn::InterleaveUpper(d, v[0], v[2]));
  const auto second = hn::Max(hn::InterleaveLower(d, v[1], v[3]), hn::InterleaveUpper(d, v[1], v[3]));
  alignas(64) float block[16];
  hn::Store(hn::Max(hn::InterleaveLower(d, first, second), hn::InterleaveUpper(d, first, second)), d, block);
  auto most = hn::Load(d4, block);
  for (int i = 4; i < kLanes; i += 4) most = hn::Max(most, hn::Load(d4, block + i));
  return most;
}

// Adding 1.5 2^23 rounds to nearest even; the integer is in the low bits.
constexpr float kRounding = 0x1.8p23f;
constexpr int32_t kRoundingBits = 0x4B400000;
HWY_INLINE Ints BitsOf(const Floats& f) {
  return OfParts<Ints>([&](auto k) LOWBIT_STEP { return hn::BitCast(DI(), f.v[k]); });
}

// The low bytes of 16 integers.
HWY_INLINE void StoreLowBytes(const Ints& v, void* to) {
#if HWY_TARGET == HWY_AVX3
  _mm_storeu_si128(static_cast<__m128i*>(to), _mm512_cvtepi32_epi8(v.v[0].raw));
#else
  const hn::Rebind<uint8_t, DI> d8;
  EachPart([&](auto k) LOWBIT_STEP {
    hn::StoreU(hn::DemoteTo(d8, hn::And(v.v[k], hn::Set(DI(), 255))), d8,
               static_cast<uint8_t*>(to) + kLanes * k);
  });
#endif
}

// What up to four queries bring to a page: s_t = factor a_t (bias + sum_c r_c level) + extra m_t.
struct KeyQueries {
  alignas(16) float factor[4], extra[4];
  int32_t bias[4];
};

// The integers r of kQueries queries, a digit every kMaxPageChannels; `numbers` of the page where channels
// have an a and an m of their own, else null.
template <int kDigits, int kQueries>
HWY_INLINE void RoundQueries(const PageRun& run, const uint8_t* numbers, const float* const* q, float scale,
                             int8_t* r, KeyQueries& out) {
  const D4 d4;
  const int n = run.channels;
  alignas(64) float a[kMaxPageChannels];
  hn::Vec<DF> most[4] = {hn::Zero(DF()), hn::Zero(DF()), hn::Zero(DF()), hn::Zero(DF())};
  Floats extra[kQueries];
  Unroll<0, kQueries>([&](auto i) LOWBIT_STEP { extra[i] = ZeroFloats(); });
  for (int c = 0; c < n; c += 16) {
    const Floats each = numbers != nullptr ? LoadF16(numbers + 2 * c) : SetFloats(1);
    StoreFloats(each, a + c);
    Floats x[kQueries];
    Unroll<0, kQueries>([&](auto i) LOWBIT_STEP {
      x[i] = LoadFloats(q[i] + run.begin + c);
      const Floats y = Mul(x[i], each);
      EachPart([&](auto k) LOWBIT_STEP { most[i] = hn::Max(most[i], hn::Abs(y.v[k])); });
    });
    if (run.minimum) {
      const Floats m = numbers != nullptr ? LoadF16(numbers + 2 * (n + c)) : SetFloats(1);
      Unroll<0, kQueries>([&](auto i) LOWBIT_STEP { extra[i] = MulAdd(x[i], m, extra[i]); });
    }
  }
  constexpr float kGreatest = GreatestQuery(kDigits);
  const auto magnitude = MaxOfEach(most);
  hn::Store(hn::Mul(magnitude, hn::Set(d4, run.unit * scale / kGreatest)), d4, out.factor);
  alignas(16) float inverse[4];
  hn::Store(hn::IfThenElseZero(hn::Gt(magnitude, hn::Set(d4, kLeastMagnitude)),
                               hn::Div(hn::Set(d4, kGreatest), magnitude)),
            d4, inverse);
  if (run.minimum) hn::Store(hn::Mul(SumOfEach<kQueries>(extra), hn::Set(d4, scale)), d4, out.extra);
  const Floats rounding = SetFloats(kRounding);
  Unroll<0, kQueries>([&](auto i) LOWBIT_STEP {
    const Floats times = SetFloats(inverse[i]);
    int8_t* const to = r + i * kDigits * kMaxPageChannels;
    Ints sum = ZeroInts();
    for (int c = 0; c < n; c += 16) {
      const Floats x = Mul(LoadFloats(q[i] + run.begin + c), LoadFloats(a + c));
      const Ints v = BitsOf(Add(Mul(x, times), rounding));
      sum = AddInts(sum, v);
      if constexpr (kDigits == 1) {
        StoreLowBytes(v, to + c);
      } else {
        const Ints high = ShiftInts<7>(AddInts(v, SetInts(64)));
        StoreLowBytes(high, to + c);
        StoreLowBytes(
            OfParts<Ints>([&](auto k) LOWBIT_STEP { return hn::Sub(v.v[k], hn::ShiftLeft<7>(high.v[k])); }),
            to + kMaxPageChannels + c);
      }
    }
    out.bias[i] = 0;
    if (run.zero != 0) {
      auto all = sum.v[0];
      for (int k = 1; k < kParts; ++k) all = hn::Add(all, sum.v[k]);
      const auto total = static_cast<uint32_t>(hn::GetLane(hn::SumOfLanes(DI(), all)));
      out.bias[i] = -run.zero * static_cast<int32_t>(total - static_cast<uint32_t>(n) * kRoundingBits);
    }
  });
}

// Levels of quad q: keys unsigned, values less what makes them signed.
template <int kBits, int q>
HWY_INLINE Bytes KeyLevels(const Tile<kBits>& tile, const hn::Vec<DB> table) {
  const Bytes codes = tile.template Quad<q>();
  if constexpr (kBits == 8) return codes;
  return OfParts<Bytes>([&](auto i) LOWBIT_STEP { return hn::TableLookupBytes(table, codes.v[i]); });
}
template <int kBits, int q>
HWY_INLINE Bytes ValueLevels(const Tile<kBits>& tile, const hn::Vec<DB> table) {
  const Bytes codes = tile.template Quad<q>();
  if constexpr (kBits == 8)
    return OfParts<Bytes>([&](auto i) LOWBIT_STEP { return hn::Sub(codes.v[i], table); });
  return OfParts<Bytes>([&](auto i) LOWBIT_STEP { return hn::TableLookupBytes(table, codes.v[i]); });
}

// One register for all addresses that are constants away from it: compilers would compute each before a loop.
HWY_INLINE void KeepAddress(const int8_t*& p) {
#if defined(__GNUC__)
  asm("" : "+r"(p));
#endif
}

template <int kDigits, class Sum>
HWY_INLINE Floats Joined(const Sum* digits) {
  const Floats high = ToFloats(digits[0].total);
  if constexpr (kDigits == 1) return high;
  return MulAdd(high, SetFloats(128), ToFloats(digits[kDigits - 1].total));
}

// Spreads the fetching of memory over a number of steps.
class Ahead {
 public:
  Ahead(std::span<const uint8_t> memory, int64_t steps)
      : at_(memory.data()),
        end_(at_ + memory.size()),
        step_((static_cast<int64_t>(memory.size()) / steps + 63) / 64 * 64),
        small_(memory.size() <= kFirstLevel) {}
  HWY_INLINE void Step() {
    const uint8_t* const stop = std::min(at_ + step_, end_);
    if (small_) {
      for (; at_ < stop; at_ += 64) __builtin_prefetch(at_, 0, 3);
    } else {
      for (; at_ < stop; at_ += 64) __builtin_prefetch(at_, 0, 2);
    }
  }

 private:
  // What is read now and what is fetched must both fit in the first-level cache, or the second is the place.
  static constexpr size_t kFirstLevel = size_t{9} << 10;
  const uint8_t *at_, *end_;
  int64_t step_;
  bool small_;
};

template <class Dot, int kBits, int kDigits, int kQueries>
HWY_NOINLINE void Scores(const PageRun& run, const Pages& pages, const float* const* q, float scale, float* s,
                         int64_t s_stride, Ahead* ahead, uint8_t* unpacked) {
  constexpr int kRows = kQueries * kDigits;
  using Sum = KeySum<Dot, kBits == 8>;
  const int64_t n = run.channels;
  alignas(64) int8_t r[kRows * kMaxPageChannels];
  KeyQueries query;
  const bool by_position = run.axis == CacheAxis::kPosition;
  if (by_position) RoundQueries<kDigits, kQueries>(run, nullptr, q, scale, r, query);
  const auto table = hn::LoadDup128(DB(), run.level.data());
  for (int64_t j = 0; j < pages.count; ++j) {
    const uint8_t* const page = pages.data + static_cast<size_t>(j) * pages.stride;
    const uint8_t* const numbers = page + run.numbers;
    if (!by_position) RoundQueries<kDigits, kQueries>(run, numbers, q, scale, r, query);
    const uint8_t* tiles = TilesOf(run, page, unpacked);
    Sum sum[2][kRows];
    Unroll<0, kRows>([&](auto i) LOWBIT_STEP {
      constexpr bool kLast = i % kDigits == kDigits - 1;
      const Ints bias = kLast ? SetInts(query.bias[i / kDigits]) : ZeroInts();
      sum[0][i].Start(bias);
      sum[1][i].Start(bias);
    });
    for (int64_t c = 0; c < n; c += kTileChannels, tiles += 64 * kBits) {
      // Tile by tile: a burst for the whole page would keep the reads that follow waiting.
      if (ahead != nullptr) ahead->Step();
      Tile<kBits> tile;
      tile.Load(tiles);
      const int8_t* from = r + c;
      KeepAddress(from);
      Unroll<0, 4>([&](auto quad) LOWBIT_STEP {
        constexpr int k = decltype(quad)::value;
        const Bytes low = KeyLevels<kBits, k>(tile, table), high = KeyLevels<kBits, k + 4>(tile, table);
        Unroll<0, kRows>([&](auto i) LOWBIT_STEP {
          const int8_t* const x = from + i * kMaxPageChannels + 4 * k;
          sum[0][i].Step(low, x);
          sum[1][i].Step(high, x);
        });
      });
    }
    Unroll<0, 2>([&](auto half) LOWBIT_STEP {
      const Floats a = by_position ? LoadF16(numbers + 32 * half) : SetFloats(1);
      const Floats m = by_position && run.minimum ? LoadF16(numbers + 64 + 32 * half) : SetFloats(1);
      Unroll<0, kQueries>([&](auto i) LOWBIT_STEP {
        float* const to = s + i * s_stride + j * kCachePage + 16 * half;
        const Floats total = Joined<kDigits>(sum[half] + i * kDigits);
        Floats y = MulAdd(Mul(total, SetFloats(query.factor[i])), a, LoadFloats(to));
        if (run.minimum) y = MulAdd(m, SetFloats(query.extra[i]), y);
        StoreFloats(y, to);
      });
    });
  }
}

// The weights of up to four queries: the integers of all pages, a digit every kPositions, and
// y_c += factor a_c sum + extra m_c for each page.
template <int kQueries, int kDigits>
struct Weights {
  alignas(64) int8_t r[kQueries][kDigits][kPositions];
  alignas(64) float factor[kMaxPages][4], extra[kMaxPages][4];
  alignas(16) float minima[4];  // sum_t p_t m_t over all pages where m is the position's

  HWY_INLINE void Round(const PageRun& run, const Pages& pages, const float* p, int64_t p_stride,
                        float unit) {
    const D4 d4;
    const bool by_position = run.axis == CacheAxis::kPosition;
    constexpr float kGreatest = GreatestWeight(kDigits);
    const Floats shift[2] = {LoadFloats(kPageDither.at), LoadFloats(kPageDither.at + 16)};
    const Floats rounding = SetFloats(kRounding);
    Floats sum[kQueries];
    for (int i = 0; i < kQueries; ++i) sum[i] = ZeroFloats();
    for (int64_t j = 0; j < pages.count; ++j) {
      const uint8_t* const numbers = pages.data + static_cast<size_t>(j) * pages.stride + run.numbers;
      const Floats a[2] = {by_position ? LoadF16(numbers) : SetFloats(1),
                           by_position ? LoadF16(numbers + 32) : SetFloats(1)};
      const float* const from = p + j * kCachePage;
      if (run.minimum) {
        const Floats m[2] = {by_position ? LoadF16(numbers + 64) : SetFloats(1),
                             by_position ? LoadF16(numbers + 96) : SetFloats(1)};
        if (!by_position) Unroll<0, kQueries>([&](auto i) LOWBIT_STEP { sum[i] = ZeroFloats(); });
        Unroll<0, kQueries>([&](auto i) LOWBIT_STEP {
          sum[i] = MulAdd(LoadFloats(from + i * p_stride), m[0], sum[i]);
          sum[i] = MulAdd(LoadFloats(from + i * p_stride + 16), m[1], sum[i]);
        });
        if (!by_position) hn::Store(SumOfEach<kQueries>(sum), d4, extra[j]);
      }
      Floats w[kQueries][2];
      hn::Vec<DF> most[4] = {hn::Zero(DF()), hn::Zero(DF()), hn::Zero(DF()), hn::Zero(DF())};
      Unroll<0, kQueries>([&](auto i) LOWBIT_STEP {
        w[i][0] = Mul(LoadFloats(from + i * p_stride), a[0]);
        w[i][1] = Mul(LoadFloats(from + i * p_stride + 16), a[1]);
        EachPart([&](auto k)
                     LOWBIT_STEP { most[i] = hn::Max(most[i], hn::Max(w[i][0].v[k], w[i][1].v[k])); });
      });
      const auto magnitude = MaxOfEach(most);
      hn::Store(hn::Mul(magnitude, hn::Set(d4, unit / kGreatest)), d4, factor[j]);
      alignas(16) float inverse[4];
      hn::Store(hn::IfThenElseZero(hn::Gt(magnitude, hn::Set(d4, kLeastMagnitude)),
                                   hn::Div(hn::Set(d4, kGreatest), magnitude)),
                d4, inverse);
      Unroll<0, kQueries>([&](auto i) LOWBIT_STEP {
        const Floats times = SetFloats(inverse[i]);
        Unroll<0, 2>([&](auto half) LOWBIT_STEP {
          const Ints v = BitsOf(Add(Add(Mul(w[i][half], times), shift[half]), rounding));
          int8_t* const to = r[i][0] + j * kCachePage + 16 * half;
          if constexpr (kDigits == 1) {
            StoreLowBytes(v, to);
          } else {
            const auto low = hn::Set(DI(), 127);
            StoreLowBytes(
                OfParts<Ints>([&](auto k) LOWBIT_STEP { return hn::And(hn::ShiftRight<7>(v.v[k]), low); }),
                to);
            StoreLowBytes(OfParts<Ints>([&](auto k) LOWBIT_STEP { return hn::And(v.v[k], low); }),
                          to + kPositions);
          }
        });
      });
    }
    hn::Store(SumOfEach<kQueries>(sum), d4, minima);
  }
};

// y += the sums of kTiles tiles from channel c of the run on, over pages [begin, end) whose tiles are
// `stride` bytes apart.
template <class Dot, int kBits, int kDigits, int kQueries, int kTiles>
HWY_INLINE void SumTiles(const PageRun& run, const Pages& pages, const uint8_t* tiles, size_t stride,
                         int64_t begin, int64_t end, hn::Vec<DB> table,
                         const Weights<kQueries, kDigits>& weights, int c, float* y, int64_t y_stride,
                         Ahead* ahead) {
  const bool by_channel = run.axis == CacheAxis::kChannel;
  Floats total[kTiles][kQueries];
  Unroll<0, kTiles>([&](auto k) LOWBIT_STEP {
    Unroll<0, kQueries>([&](auto i)
                            LOWBIT_STEP { total[k][i] = LoadFloats(y + i * y_stride + kTileChannels * k); });
  });
  for (int64_t j = begin; j < end; ++j, tiles += stride) {
    if (ahead != nullptr) ahead->Step();
    ValueSum<Dot, kBits == 8> sum[kTiles][kQueries][kDigits];
    Tile<kBits> tile[kTiles];
    Unroll<0, kTiles>([&](auto k) LOWBIT_STEP {
      tile[k].Load(tiles + 64 * kBits * k);
      Unroll<0, kQueries>([&](auto i) LOWBIT_STEP {
        Unroll<0, kDigits>([&](auto digit) LOWBIT_STEP { sum[k][i][digit].Start(ZeroInts()); });
      });
    });
    const int8_t* r = weights.r[0][0] + j * kCachePage;
    KeepAddress(r);
    Unroll<0, 8>([&](auto step) LOWBIT_STEP {
      constexpr int kQuad = QuadAt<kBits>(decltype(step)::value);
      Bytes levels[kTiles];
      Unroll<0, kTiles>([&](auto k) LOWBIT_STEP { levels[k] = ValueLevels<kBits, kQuad>(tile[k], table); });
      Unroll<0, kQueries>([&](auto i) LOWBIT_STEP {
        Unroll<0, kDigits>([&](auto digit) LOWBIT_STEP {
          const Quad x = Broadcast<Dot>(r + (i * kDigits + digit) * kPositions + 4 * kQuad);
          Unroll<0, kTiles>([&](auto k) LOWBIT_STEP { sum[k][i][digit].Step(levels[k], x); });
        });
      });
    });
    const uint8_t* const numbers =
        pages.data + static_cast<size_t>(j) * pages.stride + run.numbers + 2 * static_cast<size_t>(c);
    Unroll<0, kTiles>([&](auto k) LOWBIT_STEP {
      Floats a, m;
      if (by_channel) {
        a = LoadF16(numbers + 32 * k);
        if (run.minimum) m = LoadF16(numbers + 2 * run.channels + 32 * k);
      }
      Unroll<0, kQueries>([&](auto i) LOWBIT_STEP {
        Floats factor = SetFloats(weights.factor[j][i]);
        if (by_channel) factor = Mul(factor, a);
        total[k][i] = MulAdd(Joined<kDigits>(sum[k][i]), factor, total[k][i]);
        if (by_channel && run.minimum) total[k][i] = MulAdd(m, SetFloats(weights.extra[j][i]), total[k][i]);
      });
    });
  }
  Unroll<0, kTiles>([&](auto k) LOWBIT_STEP {
    Unroll<0, kQueries>([&](auto i)
                            LOWBIT_STEP { StoreFloats(total[k][i], y + i * y_stride + kTileChannels * k); });
  });
}

// Tiles of 8 bits fill twice as many registers.
constexpr int TilesTogether(int bits) {
  return bits < 8 ? 2 : 1;
}

template <class Dot, int kBits, int kDigits, int kQueries>
HWY_NOINLINE void Sums(const PageRun& run, const Pages& pages, const float* p, int64_t p_stride, float* y,
                       int64_t y_stride, Ahead* ahead, uint8_t* unpacked) {
  const SignedLevels levels(run);
  Weights<kQueries, kDigits> weights;
  weights.Round(run, pages, p, p_stride, run.unit);
  if (run.axis == CacheAxis::kPosition && run.minimum) {
    for (int i = 0; i < kQueries; ++i) {
      float* const to = y + i * y_stride + run.begin;
      for (int c = 0; c < run.channels; c += 16)
        StoreFloats(Add(LoadFloats(to + c), SetFloats(weights.minima[i])), to + c);
    }
  }
  const auto table = hn::LoadDup128(DB(), levels.table);
  // Ternary codes are unpacked page by page; otherwise sums stay in registers through all pages.
  const int64_t together = run.ternary ? 1 : pages.count;
  for (int64_t j = 0; j < pages.count; j += together) {
    const uint8_t* const tiles = TilesOf(run, pages.data + static_cast<size_t>(j) * pages.stride, unpacked);
    int c = 0;
    const auto some = [&](auto count) HWY_ATTR {
      constexpr int kTiles = decltype(count)::value;
      SumTiles<Dot, kBits, kDigits, kQueries, kTiles>(run, pages, tiles + c / kTileChannels * 64 * kBits,
                                                      pages.stride, j, j + together, table, weights, c,
                                                      y + run.begin + c, y_stride, ahead);
      c += kTiles * kTileChannels;
    };
    constexpr int kTogether = TilesTogether(kBits);
    while (c + kTogether * kTileChannels <= run.channels) some(std::integral_constant<int, kTogether>());
    if constexpr (kTogether > 1) {
      if (c < run.channels) some(std::integral_constant<int, 1>());
    }
  }
}

// f(bits, digits, queries), all constants, for every group of the `queries`.
template <class F>
HWY_INLINE void ForGroups(const PageRun& run, int queries, const F& f) {
  const auto groups = [&](auto bits, auto digits) HWY_ATTR {
    int i = 0;
    if constexpr (kMaxTogether >= 4) {
      for (; i + 4 <= queries; i += 4) f(i, bits, digits, std::integral_constant<int, 4>());
    }
    for (; i + 2 <= queries; i += 2) f(i, bits, digits, std::integral_constant<int, 2>());
    for (; i < queries; ++i) f(i, bits, digits, std::integral_constant<int, 1>());
  };
  const std::integral_constant<int, 1> one;
  const std::integral_constant<int, 2> two;
  switch (run.bits) {
    case 1:
      return groups(std::integral_constant<int, 1>(), one);
    case 2:
      return groups(std::integral_constant<int, 2>(), one);
    case 3:
      return groups(std::integral_constant<int, 3>(), one);
    case 4:
      if (run.digits == 1) return groups(std::integral_constant<int, 4>(), one);
      return groups(std::integral_constant<int, 4>(), two);
    default:
      if (run.digits == 1) return groups(std::integral_constant<int, 8>(), one);
      return groups(std::integral_constant<int, 8>(), two);
  }
}

// The memory is fetched while the first group works.
template <class Dot>
void ScoresWith(std::span<const PageRun> runs, const Pages& pages, const float* const* q, int queries,
                float scale, float* s, int64_t s_stride) {
  alignas(64) uint8_t unpacked[kMaxPageChannels * kCachePage];
  int64_t tiles = 0;
  for (const PageRun& run : runs) tiles += run.channels / kTileChannels;
  Ahead ahead(pages.ahead, tiles * pages.count);
  for (const PageRun& run : runs) {
    ForGroups(run, queries, [&](int i, auto bits, auto digits, auto count) HWY_ATTR {
      Scores<Dot, decltype(bits)::value, decltype(digits)::value, decltype(count)::value>(
          run, pages, q + i, scale, s + i * s_stride, s_stride, i == 0 ? &ahead : nullptr, unpacked);
    });
  }
}

template <class Dot>
void SumsWith(std::span<const PageRun> runs, const Pages& pages, const float* p, int64_t p_stride,
              int queries, float* y, int64_t y_stride) {
  alignas(64) uint8_t unpacked[kMaxPageChannels * kCachePage];
  int64_t groups = 0;
  for (const PageRun& run : runs) {
    const int channels = TilesTogether(run.bits) * kTileChannels;
    groups += (run.channels + channels - 1) / channels;
  }
  Ahead ahead(pages.ahead, groups * pages.count);
  for (const PageRun& run : runs) {
    ForGroups(run, queries, [&](int i, auto bits, auto digits, auto count) HWY_ATTR {
      Sums<Dot, decltype(bits)::value, decltype(digits)::value, decltype(count)::value>(
          run, pages, p + i * p_stride, p_stride, y + i * y_stride, y_stride, i == 0 ? &ahead : nullptr,
          unpacked);
    });
  }
}

void ScoresOf(bool byte_dot, std::span<const PageRun> runs, const Pages& pages, const float* const* q,
              int queries, float scale, float* s, int64_t s_stride) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  return byte_dot ? ScoresWith<HardwareDot>(runs, pages, q, queries, scale, s, s_stride)
                  : ScoresWith<PairDot>(runs, pages, q, queries, scale, s, s_stride);
#else
  (void)byte_dot;
  ScoresWith<PlainDot>(runs, pages, q, queries, scale, s, s_stride);
#endif
}

void SumsOf(bool byte_dot, std::span<const PageRun> runs, const Pages& pages, const float* p,
            int64_t p_stride, int queries, float* y, int64_t y_stride) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  return byte_dot ? SumsWith<HardwareDot>(runs, pages, p, p_stride, queries, y, y_stride)
                  : SumsWith<PairDot>(runs, pages, p, p_stride, queries, y, y_stride);
#else
  (void)byte_dot;
  SumsWith<PlainDot>(runs, pages, p, p_stride, queries, y, y_stride);
#endif
}

#else

void ScoresOf(bool, std::span<const PageRun> runs, const Pages& pages, const float* const* q, int queries,
              float scale, float* s, int64_t s_stride) {
  PlainPageScores(runs, pages, q, queries, scale, s, s_stride);
}
void SumsOf(bool, std::span<const PageRun> runs, const Pages& pages, const float* p, int64_t p_stride,
            int queries, float* y, int64_t y_stride) {
  PlainPageSums(runs, pages, p, p_stride, queries, y, y_stride);
}

#endif  // LOWBIT_VECTOR_TARGET

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(ScoresOf);
HWY_EXPORT(SumsOf);

namespace {

void CheckRuns(std::span<const PageRun> runs, int queries) {
  for (const PageRun& run : runs) {
    const int digits = run.bits >= 4 ? std::clamp(run.digits, 1, 2) : 1;
    const bool bits = ((run.bits >= 1 && run.bits <= 4) || run.bits == 8) && run.digits == digits;
    if (run.channels < 1 || run.channels > kMaxPageChannels || run.channels % kTileChannels != 0 || !bits)
      Fail("cache page: no kernel for a run of {} channels of {} bits and {} digits", run.channels, run.bits,
           run.digits);
  }
  if (queries > kMaxPageQueries) Fail("cache page: {} queries at once", queries);
}

}  // namespace

void PageScores(std::span<const PageRun> runs, const Pages& pages, const float* const* q, int queries,
                float scale, float* s, int64_t s_stride) {
  CheckRuns(runs, queries);
  if (pages.count == 0) return;
  for (int i = 0; i < queries; ++i) std::fill_n(s + i * s_stride, pages.count * kCachePage, 0.0f);
  LOWBIT_KERNEL(ScoresOf)(HasByteDot(CurrentTarget()), runs, pages, q, queries, scale, s, s_stride);
}

void PageSums(std::span<const PageRun> runs, const Pages& pages, const float* p, int64_t p_stride,
              int queries, float* y, int64_t y_stride) {
  CheckRuns(runs, queries);
  if (pages.count == 0) return;
  if (pages.count > kMaxPages) Fail("cache page: sums over {} pages at once", pages.count);
  LOWBIT_KERNEL(SumsOf)(HasByteDot(CurrentTarget()), runs, pages, p, p_stride, queries, y, y_stride);
}

}  // namespace lowbit
#endif  // HWY_ONCE
