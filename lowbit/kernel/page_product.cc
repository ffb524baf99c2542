#include "lowbit/kernel/page_product.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/kernel/code_packing.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/page_product.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "hwy/cache_control.h"
#include "lowbit/kernel/byte_dot-inl.h"

#ifndef LOWBIT_KERNEL_PAGE_PRODUCT_CC_
#define LOWBIT_KERNEL_PAGE_PRODUCT_CC_
namespace lowbit {
namespace {

constexpr int kMaxChannels = 512, kMaxPages = 8;
constexpr int kPositions = kMaxPages * kCachePage;
constexpr float kLeast = 1e-30f;  // weights below it are zero: their reciprocal would not be finite

// The greatest integers; those of two digits leave room for the rounding of the high one.
constexpr float GreatestQuery(int digits) {
  return digits == 1 ? 127 : 127 * 128;
}
constexpr float GreatestWeight(int digits) {
  return digits == 1 ? 127 : 127 * 128 + 127;
}

// The dither of position t.
struct Dither {
  alignas(64) float at[kCachePage];
  constexpr Dither() : at() {
    for (int t = 0; t < kCachePage; ++t) {
      int reversed = 0;
      for (int bit = 0; bit < 5; ++bit) reversed |= (t >> bit & 1) << (4 - bit);
      at[t] = (static_cast<float>(reversed) + 0.5f) / kCachePage;
    }
  }
};
constexpr Dither kDither;

// The tiles of a run's page: in place, or ternary codes unpacked to `bytes`.
const uint8_t* TilesOf(const PageRun& run, const uint8_t* page, uint8_t* bytes) {
  if (!run.ternary) return page + run.codes;
  const size_t codes = static_cast<size_t>(run.channels) * kCachePage;
  UnpackTernary({page + run.codes, (codes + 4) / 5}, {bytes, codes});
  return bytes;
}

}  // namespace
}  // namespace lowbit
#endif  // LOWBIT_KERNEL_PAGE_PRODUCT_CC_

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if LOWBIT_VECTOR_TARGET

using D8 = hn::Rebind<int8_t, DF>;

// Queries, or the digits of their integers, that are multiplied together: as many sums as registers hold.
constexpr int kMaxTogether = HWY_TARGET == HWY_AVX3 ? 4 : 2;

HWY_INLINE void StoreDigits(hn::Vec<DI> r, int digits, int8_t* to, int64_t stride) {
  const D8 d8;
  if (digits == 1) {
    hn::StoreU(hn::DemoteTo(d8, r), d8, to);
    return;
  }
  const auto high = hn::ShiftRight<7>(hn::Add(r, hn::Set(DI(), 64)));
  hn::StoreU(hn::DemoteTo(d8, high), d8, to);
  hn::StoreU(hn::DemoteTo(d8, hn::Sub(r, hn::ShiftLeft<7>(high))), d8, to + stride);
}

// r of n entries of q, a digit every `stride`; returns s and sum_c r_c.
struct Rounded {
  float scale, sum;
};
HWY_INLINE Rounded RoundQuery(const float* q, int n, int digits, int8_t* r, int64_t stride) {
  const DF d;
  auto most = hn::Zero(d);
  for (int c = 0; c < n; c += kLanes) most = hn::Max(most, hn::Abs(hn::LoadU(d, q + c)));
  const float magnitude = hn::GetLane(hn::MaxOfLanes(d, most)), greatest = GreatestQuery(digits);
  const auto inverse = hn::Set(d, magnitude > kLeast ? greatest / magnitude : 0.0f);
  auto sum = hn::Zero(DI());
  for (int c = 0; c < n; c += kLanes) {
    const auto v = hn::NearestInt(hn::Mul(hn::LoadU(d, q + c), inverse));
    sum = hn::Add(sum, v);
    StoreDigits(v, digits, r + c, stride);
  }
  return {magnitude / greatest, static_cast<float>(hn::GetLane(hn::SumOfLanes(DI(), sum)))};
}

// Sixteen running sums, whatever the register width: the same order on every target.
HWY_INLINE float SumOf(const Floats& f) {
  alignas(64) float lane[16];
  StoreFloats(f, lane);
  for (int n = 8; n > 0; n /= 2) {
    for (int i = 0; i < n; ++i) lane[i] += lane[i + n];
  }
  return lane[0];
}

template <int kBits, int q>
HWY_INLINE Bytes Levels(const Tile<kBits>& tile, const hn::Vec<DB> table) {
  const Bytes codes = tile.template Quad<q>();
  if constexpr (kBits == 8) return codes;
  return OfParts<Bytes>([&](auto i) LOWBIT_STEP { return hn::TableLookupBytes(table, codes.v[i]); });
}

template <int kDigits, class Sum>
HWY_INLINE Floats Joined(const Sum* digits) {
  const Floats high = ToFloats(digits[0].Total());
  if constexpr (kDigits == 1) return high;
  return MulAdd(high, SetFloats(128), ToFloats(digits[kDigits - 1].Total()));
}

HWY_INLINE void PrefetchBytes(const uint8_t* from, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) hwy::Prefetch(from + i);
}
HWY_INLINE size_t BytesOfCodes(const PageRun& run) {
  const size_t codes = static_cast<size_t>(run.channels) * kCachePage;
  return run.ternary ? codes / 5 : codes * static_cast<size_t>(run.bits) / 8;
}

// What a query brings to a page: its integers, and s_t = factor a_t (sum - offset) + extra m_t.
struct KeyQuery {
  float factor, offset, extra;
};

// Levels of 7 bits: PairDot counts on it.
template <int kBits, int kQuads, class Dot>
using SumOfLevels = typename Dot::template Sum<kBits == 8 ? 8 : 7, kQuads>;

template <class Dot, int kBits, int kDigits, int kQueries>
HWY_NOINLINE void Scores(const PageRun& run, const Pages& pages, const float* const* q, float scale, float* s,
                         int64_t s_stride, uint8_t* unpacked) {
  constexpr int kRows = kQueries * kDigits;
  using Sum = SumOfLevels<kBits, 4, Dot>;
  const int64_t n = run.channels;
  alignas(64) int8_t r[kRows * kMaxChannels];
  KeyQuery query[kQueries];
  const bool by_position = run.axis == CacheAxis::kPosition;
  const float unit = run.unit * scale;
  const auto round = [&](int i, const float* x) HWY_ATTR {
    const Rounded rounded = RoundQuery(x, run.channels, kDigits, r + i * kDigits * n, n);
    query[i].factor = unit * rounded.scale;
    query[i].offset = run.zero * rounded.sum;
  };
  if (by_position) {
    for (int i = 0; i < kQueries; ++i) {
      round(i, q[i] + run.begin);
      Floats sum = ZeroFloats();
      for (int64_t c = 0; run.minimum && c < n; c += 16) sum = Add(sum, LoadFloats(q[i] + run.begin + c));
      query[i].extra = scale * SumOf(sum);
    }
  }
  const auto table = hn::LoadDup128(DB(), run.level.data());
  const size_t bytes = BytesOfCodes(run);
  for (int64_t j = 0; j < pages.count; ++j) {
    const uint8_t* const page = pages.data + static_cast<size_t>(j) * pages.stride;
    PrefetchBytes(page + run.codes + 2 * pages.stride, bytes);
    const uint8_t* const numbers = page + run.numbers;
    if (!by_position) {
      alignas(64) float scaled[kMaxChannels];
      for (int i = 0; i < kQueries; ++i) {
        Floats sum = ZeroFloats();
        for (int64_t c = 0; c < n; c += 16) {
          const Floats x = LoadFloats(q[i] + run.begin + c);
          StoreFloats(Mul(x, LoadF16(numbers + 2 * c)), scaled + c);
          if (run.minimum) sum = MulAdd(x, LoadF16(numbers + 2 * (n + c)), sum);
        }
        round(i, scaled);
        query[i].extra = scale * SumOf(sum);
      }
    }
    const uint8_t* tiles = TilesOf(run, page, unpacked);
    Sum sum[2][kRows];
    Unroll<0, kRows>([&](auto i) LOWBIT_STEP {
      sum[0][i].Start(ZeroInts());
      sum[1][i].Start(ZeroInts());
    });
    for (int64_t c = 0; c < n; c += kTileChannels, tiles += 64 * kBits) {
      Tile<kBits> tile;
      tile.Load(tiles);
      Unroll<0, 4>([&](auto quad) LOWBIT_STEP {
        constexpr int k = decltype(quad)::value;
        const Bytes low = Levels<kBits, k>(tile, table), high = Levels<kBits, k + 4>(tile, table);
        Unroll<0, kRows>([&](auto i) LOWBIT_STEP {
          const Quad x = LoadQuad(r + i * n + c + 4 * k);
          sum[0][i].template Step<k>(low, x);
          sum[1][i].template Step<k>(high, x);
        });
      });
    }
    Unroll<0, 2>([&](auto half) LOWBIT_STEP {
      const Floats a = by_position ? LoadF16(numbers + 32 * half) : SetFloats(1);
      const Floats m = by_position && run.minimum ? LoadF16(numbers + 64 + 32 * half) : SetFloats(1);
      Unroll<0, kQueries>([&](auto i) LOWBIT_STEP {
        float* const to = s + i * s_stride + j * kCachePage + 16 * half;
        const Floats total = Sub(Joined<kDigits>(sum[half] + i * kDigits), SetFloats(query[i].offset));
        Floats y = MulAdd(Mul(total, SetFloats(query[i].factor)), a, LoadFloats(to));
        if (run.minimum) y = MulAdd(m, SetFloats(query[i].extra), y);
        StoreFloats(y, to);
      });
    });
  }
}

// The weights of one query: integers of all pages, and for each page y_c += factor a_c (sum - offset)
// + extra m_c. Returns sum_t p_t m_t over all pages where m is the position's.
HWY_INLINE float RoundWeights(const PageRun& run, const Pages& pages, const float* p, int8_t* r, float* factor,
                              float* offset, float* extra) {
  const DF d;
  const bool by_position = run.axis == CacheAxis::kPosition;
  const float greatest = GreatestWeight(run.digits);
  Floats minima = ZeroFloats();
  for (int64_t j = 0; j < pages.count; ++j) {
    const uint8_t* const numbers = pages.data + static_cast<size_t>(j) * pages.stride + run.numbers;
    Floats w[2] = {LoadFloats(p + j * kCachePage), LoadFloats(p + j * kCachePage + 16)};
    extra[j] = 0;
    if (by_position) {
      if (run.minimum) {
        minima = MulAdd(w[0], LoadF16(numbers + 64), minima);
        minima = MulAdd(w[1], LoadF16(numbers + 96), minima);
      }
      w[0] = Mul(w[0], LoadF16(numbers));
      w[1] = Mul(w[1], LoadF16(numbers + 32));
    } else if (run.minimum) {
      extra[j] = SumOf(Add(w[0], w[1]));
    }
    auto most = hn::Zero(d);
    EachPart([&](auto i) LOWBIT_STEP { most = hn::Max(most, hn::Max(w[0].v[i], w[1].v[i])); });
    const float magnitude = hn::GetLane(hn::MaxOfLanes(d, most));
    const Floats inverse = SetFloats(magnitude > kLeast ? greatest / magnitude : 0.0f);
    auto sum = hn::Zero(DI());
    Unroll<0, 2>([&](auto half) LOWBIT_STEP {
      const Floats up = Add(Mul(w[half], inverse), LoadFloats(kDither.at + 16 * half));
      EachPart([&](auto i) LOWBIT_STEP {
        // Not negative: truncation is the floor. The greatest weight may exceed `greatest` by a rounding.
        const auto v = hn::Min(hn::ConvertTo(DI(), up.v[i]), hn::Set(DI(), static_cast<int32_t>(greatest)));
        sum = hn::Add(sum, v);
        int8_t* const to = r + j * kCachePage + 16 * half + kLanes * i;
        const D8 d8;
        if (run.digits == 1) {
          hn::StoreU(hn::DemoteTo(d8, v), d8, to);
        } else {
          hn::StoreU(hn::DemoteTo(d8, hn::ShiftRight<7>(v)), d8, to);
          hn::StoreU(hn::DemoteTo(d8, hn::And(v, hn::Set(DI(), 127))), d8, to + kPositions);
        }
      });
    });
    factor[j] = run.unit * (magnitude / greatest);
    offset[j] = run.zero * static_cast<float>(hn::GetLane(hn::SumOfLanes(DI(), sum)));
  }
  return SumOf(minima);
}

template <class Dot, int kBits, int kDigits, int kQueries, int kTiles>
HWY_INLINE void SumTiles(const PageRun& run, const uint8_t* tiles, hn::Vec<DB> table, const int8_t* r,
                         const float* factor, const float* offset, const float* extra, const uint8_t* numbers,
                         float* y, int64_t y_stride) {
  constexpr int kRows = kQueries * kDigits;
  using Sum = SumOfLevels<kBits, 8, Dot>;
  Sum sum[kTiles][kRows];
  Tile<kBits> tile[kTiles];
  Unroll<0, kTiles>([&](auto k) LOWBIT_STEP {
    tile[k].Load(tiles + 64 * kBits * k);
    Unroll<0, kRows>([&](auto i) LOWBIT_STEP { sum[k][i].Start(ZeroInts()); });
  });
  Unroll<0, 8>([&](auto step) LOWBIT_STEP {
    constexpr int quad = QuadAt<kBits>(decltype(step)::value);
    Bytes levels[kTiles];
    Unroll<0, kTiles>([&](auto k) LOWBIT_STEP { levels[k] = Levels<kBits, quad>(tile[k], table); });
    Unroll<0, kRows>([&](auto i) LOWBIT_STEP {
      const Quad x = LoadQuad(r + i * kPositions + 4 * quad);
      Unroll<0, kTiles>([&](auto k)
                            LOWBIT_STEP { sum[k][i].template Step<decltype(step)::value>(levels[k], x); });
    });
  });
  const bool by_channel = run.axis == CacheAxis::kChannel;
  Unroll<0, kTiles>([&](auto k) LOWBIT_STEP {
    const Floats a = by_channel ? LoadF16(numbers + 32 * k) : SetFloats(1);
    const Floats m = by_channel && run.minimum ? LoadF16(numbers + 2 * run.channels + 32 * k) : SetFloats(1);
    Unroll<0, kQueries>([&](auto i) LOWBIT_STEP {
      float* const to = y + i * y_stride + kTileChannels * k;
      const Floats total = Sub(Joined<kDigits>(sum[k] + i * kDigits), SetFloats(offset[i * kMaxPages]));
      Floats v = MulAdd(Mul(total, SetFloats(factor[i * kMaxPages])), a, LoadFloats(to));
      if (by_channel && run.minimum) v = MulAdd(m, SetFloats(extra[i * kMaxPages]), v);
      StoreFloats(v, to);
    });
  });
}

template <class Dot, int kBits, int kDigits, int kQueries>
HWY_NOINLINE void Sums(const PageRun& run, const Pages& pages, const float* p, int64_t p_stride, float* y,
                       int64_t y_stride, uint8_t* unpacked) {
  constexpr int kRows = kQueries * kDigits;
  alignas(64) int8_t r[kRows * kPositions];
  float factor[kQueries * kMaxPages], offset[kQueries * kMaxPages], extra[kQueries * kMaxPages];
  for (int i = 0; i < kQueries; ++i) {
    const float minima =
        RoundWeights(run, pages, p + i * p_stride, r + i * kDigits * kPositions, factor + i * kMaxPages,
                     offset + i * kMaxPages, extra + i * kMaxPages);
    if (run.axis == CacheAxis::kPosition && run.minimum) {
      float* const to = y + i * y_stride + run.begin;
      for (int c = 0; c < run.channels; c += 16) StoreFloats(Add(LoadFloats(to + c), SetFloats(minima)), to + c);
    }
  }
  const auto table = hn::LoadDup128(DB(), run.level.data());
  const size_t bytes = BytesOfCodes(run);
  for (int64_t j = 0; j < pages.count; ++j) {
    const uint8_t* const page = pages.data + static_cast<size_t>(j) * pages.stride;
    PrefetchBytes(page + run.codes + 2 * pages.stride, bytes);
    const uint8_t* const tiles = TilesOf(run, page, unpacked);
    const uint8_t* const numbers = page + run.numbers;
    int c = 0;
    const auto some = [&](auto count) HWY_ATTR {
      constexpr int kTiles = decltype(count)::value;
      SumTiles<Dot, kBits, kDigits, kQueries, kTiles>(
          run, tiles + c / kTileChannels * 64 * kBits, table, r + j * kCachePage, factor + j, offset + j, extra + j,
          numbers + 2 * c, y + run.begin + c, y_stride);
      c += kTiles * kTileChannels;
    };
    while (c + 2 * kTileChannels <= run.channels) some(std::integral_constant<int, 2>());
    if (c < run.channels) some(std::integral_constant<int, 1>());
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
      return groups(std::integral_constant<int, 8>(), two);
  }
}

template <class Dot>
void ScoresWith(std::span<const PageRun> runs, const Pages& pages, const float* const* q, int queries,
                float scale, float* s, int64_t s_stride) {
  alignas(64) uint8_t unpacked[kMaxChannels * kCachePage];
  for (const PageRun& run : runs) {
    ForGroups(run, queries, [&](int i, auto bits, auto digits, auto count) HWY_ATTR {
      Scores<Dot, decltype(bits)::value, decltype(digits)::value, decltype(count)::value>(
          run, pages, q + i, scale, s + i * s_stride, s_stride, unpacked);
    });
  }
}

template <class Dot>
void SumsWith(std::span<const PageRun> runs, const Pages& pages, const float* p, int64_t p_stride, int queries,
              float* y, int64_t y_stride) {
  alignas(64) uint8_t unpacked[kMaxChannels * kCachePage];
  for (const PageRun& run : runs) {
    ForGroups(run, queries, [&](int i, auto bits, auto digits, auto count) HWY_ATTR {
      Sums<Dot, decltype(bits)::value, decltype(digits)::value, decltype(count)::value>(
          run, pages, p + i * p_stride, p_stride, y + i * y_stride, y_stride, unpacked);
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

void SumsOf(bool byte_dot, std::span<const PageRun> runs, const Pages& pages, const float* p, int64_t p_stride,
            int queries, float* y, int64_t y_stride) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  return byte_dot ? SumsWith<HardwareDot>(runs, pages, p, p_stride, queries, y, y_stride)
                  : SumsWith<PairDot>(runs, pages, p, p_stride, queries, y, y_stride);
#else
  (void)byte_dot;
  SumsWith<PlainDot>(runs, pages, p, p_stride, queries, y, y_stride);
#endif
}

#else  // plain C++: the definition

// Levels and numbers of a page.
struct PlainPage {
  uint8_t level[kMaxChannels * kCachePage];  // (channels, 32)
  float a[kMaxChannels], m[kMaxChannels];    // by position or by channel

  PlainPage(const PageRun& run, const uint8_t* page, PageSide side) {
    UnpackTiles(TilesOf(run, page, level), run.channels, run.bits, side, unpacked);
    for (int i = 0; i < run.channels * kCachePage; ++i) level[i] = run.bits == 8 ? unpacked[i] : run.level[unpacked[i]];
    const int count = run.axis == CacheAxis::kPosition ? kCachePage : run.channels;
    for (int i = 0; i < count; ++i) {
      uint16_t half[2] = {};
      std::memcpy(half, page + run.numbers + 2 * i, 2);
      if (run.minimum) std::memcpy(half + 1, page + run.numbers + 2 * (count + i), 2);
      a[i] = F16ToFloat(half[0]);
      m[i] = F16ToFloat(half[1]);
    }
  }

 private:
  uint8_t unpacked[kMaxChannels * kCachePage];
};

void ScoresOf(bool, std::span<const PageRun> runs, const Pages& pages, const float* const* q, int queries,
              float scale, float* s, int64_t s_stride) {
  for (const PageRun& run : runs) {
    const bool by_position = run.axis == CacheAxis::kPosition;
    const float greatest = GreatestQuery(run.digits);
    for (int64_t j = 0; j < pages.count; ++j) {
      const PlainPage page(run, pages.data + static_cast<size_t>(j) * pages.stride, PageSide::kKeys);
      for (int i = 0; i < queries; ++i) {
        float x[kMaxChannels], magnitude = 0, extra = 0;
        int32_t r[kMaxChannels], sum_r = 0;
        for (int c = 0; c < run.channels; ++c) {
          const float v = q[i][run.begin + c];
          x[c] = by_position ? v : v * page.a[c];
          magnitude = std::max(magnitude, std::abs(x[c]));
          extra += by_position ? v : v * page.m[c];
        }
        const float inverse = magnitude > kLeast ? greatest / magnitude : 0;
        for (int c = 0; c < run.channels; ++c) {
          r[c] = static_cast<int32_t>(std::nearbyint(x[c] * inverse));
          sum_r += r[c];
        }
        const float factor = run.unit * scale * (magnitude / greatest);
        for (int t = 0; t < kCachePage; ++t) {
          int64_t sum = 0;
          for (int c = 0; c < run.channels; ++c) sum += int64_t{r[c]} * page.level[c * kCachePage + t];
          const float total = static_cast<float>(sum) - run.zero * static_cast<float>(sum_r);
          float& to = s[i * s_stride + j * kCachePage + t];
          to += total * factor * (by_position ? page.a[t] : 1);
          if (run.minimum) to += scale * extra * (by_position ? page.m[t] : 1);
        }
      }
    }
  }
}

void SumsOf(bool, std::span<const PageRun> runs, const Pages& pages, const float* p, int64_t p_stride,
            int queries, float* y, int64_t y_stride) {
  for (const PageRun& run : runs) {
    const bool by_position = run.axis == CacheAxis::kPosition;
    const float greatest = GreatestWeight(run.digits);
    for (int64_t j = 0; j < pages.count; ++j) {
      const PlainPage page(run, pages.data + static_cast<size_t>(j) * pages.stride, PageSide::kValues);
      for (int i = 0; i < queries; ++i) {
        const float* const weights = p + i * p_stride + j * kCachePage;
        float w[kCachePage], magnitude = 0, extra = 0;
        int32_t r[kCachePage], sum_r = 0;
        for (int t = 0; t < kCachePage; ++t) {
          w[t] = by_position ? weights[t] * page.a[t] : weights[t];
          magnitude = std::max(magnitude, w[t]);
          extra += by_position ? weights[t] * page.m[t] : weights[t];
        }
        const float inverse = magnitude > kLeast ? greatest / magnitude : 0;
        for (int t = 0; t < kCachePage; ++t) {
          const float up = w[t] * inverse;
          r[t] = static_cast<int32_t>(std::min(std::floor(up + kDither.at[t]), greatest));
          sum_r += r[t];
        }
        const float factor = run.unit * (magnitude / greatest), offset = run.zero * static_cast<float>(sum_r);
        for (int c = 0; c < run.channels; ++c) {
          int64_t sum = 0;
          for (int t = 0; t < kCachePage; ++t) sum += int64_t{r[t]} * page.level[c * kCachePage + t];
          float& to = y[i * y_stride + run.begin + c];
          to += (static_cast<float>(sum) - offset) * factor * (by_position ? 1 : page.a[c]);
          if (run.minimum) to += extra * (by_position ? 1 : page.m[c]);
        }
      }
    }
  }
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
    const bool bits = run.bits == 8 ? run.digits == 2 : run.bits == 4 ? run.digits <= 2 : run.digits == 1;
    if (run.channels < 1 || run.channels > kMaxChannels || run.channels % kTileChannels != 0 || !bits)
      Fail("cache page: no kernel for a run of {} channels of {} bits and {} digits", run.channels, run.bits,
           run.digits);
  }
  if (queries > kMaxPageQueries) Fail("cache page: {} queries at once", queries);
}

// emit(channel, position, byte of an 8-bit tile) over one tile.
template <class Emit>
void EachOfTile(PageSide side, const Emit& emit) {
  for (int q = 0; q < 8; ++q) {
    for (int lane = 0; lane < 16; ++lane) {
      for (int k = 0; k < 4; ++k) {
        const int byte = 64 * q + 4 * lane + k;
        if (side == PageSide::kKeys) {
          emit(4 * (q % 4) + k, q / 4 * 16 + lane, byte);
        } else {
          emit(lane, 4 * q + k, byte);
        }
      }
    }
  }
}

// plane(width, first bit of a code, offset in vectors) for the planes of codes of `bits` bits.
template <class Plane>
void EachPlane(int bits, const Plane& plane) {
  for (int width = 8, done = 0; width > 0; width /= 2) {
    if (bits - done < width) continue;
    plane(width, done, done);
    done += width;
  }
}

}  // namespace

void PackTiles(const uint8_t* codes, int channels, int bits, PageSide side, uint8_t* tiles) {
  for (int c = 0; c < channels; c += kTileChannels, tiles += 64 * bits, codes += kTileChannels * kCachePage) {
    uint8_t bytes[512];
    EachOfTile(side, [&](int channel, int t, int byte) { bytes[byte] = codes[channel * kCachePage + t]; });
    std::memset(tiles, 0, static_cast<size_t>(64 * bits));
    EachPlane(bits, [&](int width, int from, int vector) {
      for (int q = 0; q < 8; ++q) {
        uint8_t* const to = tiles + 64 * (vector + q % width);
        const int at = width * (q / width), mask = (1 << width) - 1;
        for (int i = 0; i < 64; ++i) to[i] = static_cast<uint8_t>(to[i] | (bytes[64 * q + i] >> from & mask) << at);
      }
    });
  }
}

void UnpackTiles(const uint8_t* tiles, int channels, int bits, PageSide side, uint8_t* codes) {
  for (int c = 0; c < channels; c += kTileChannels, tiles += 64 * bits, codes += kTileChannels * kCachePage) {
    uint8_t bytes[512] = {};
    EachPlane(bits, [&](int width, int from, int vector) {
      for (int q = 0; q < 8; ++q) {
        const uint8_t* const plane = tiles + 64 * (vector + q % width);
        const int at = width * (q / width), mask = (1 << width) - 1;
        for (int i = 0; i < 64; ++i) {
          uint8_t& to = bytes[64 * q + i];
          to = static_cast<uint8_t>(to | (plane[i] >> at & mask) << from);
        }
      }
    });
    EachOfTile(side, [&](int channel, int t, int byte) { codes[channel * kCachePage + t] = bytes[byte]; });
  }
}

void PageScores(std::span<const PageRun> runs, const Pages& pages, const float* const* q, int queries,
                float scale, float* s, int64_t s_stride) {
  CheckRuns(runs, queries);
  for (int i = 0; i < queries; ++i) std::fill_n(s + i * s_stride, pages.count * kCachePage, 0.0f);
  LOWBIT_KERNEL(ScoresOf)(HasByteDot(CurrentTarget()), runs, pages, q, queries, scale, s, s_stride);
}

void PageSums(std::span<const PageRun> runs, const Pages& pages, const float* p, int64_t p_stride, int queries,
              float* y, int64_t y_stride) {
  CheckRuns(runs, queries);
  if (pages.count > kMaxPages) Fail("cache page: sums over {} pages at once", pages.count);
  LOWBIT_KERNEL(SumsOf)(HasByteDot(CurrentTarget()), runs, pages, p, p_stride, queries, y, y_stride);
}

}  // namespace lowbit
#endif  // HWY_ONCE
