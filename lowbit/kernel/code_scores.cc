#include "lowbit/kernel/code_scores.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "lowbit/base/buffer.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/code_scores.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "lowbit/kernel/byte_dot-inl.h"
#include "lowbit/kernel/tile_dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if LOWBIT_VECTOR_TARGET

// Several queries: codes are decoded to panels of 16 (a 64-byte vector holds four levels of each), and sums
// of a few panels and queries stay in registers, one lane a code, so that nothing is added across lanes.
#if HWY_TARGET == HWY_AVX3
constexpr int kTilePanels = 4, kTileQueries = 4;  // 16 of 32 registers
#elif HWY_TARGET == HWY_AVX2
constexpr int kTilePanels = 1, kTileQueries = 4;  // 8 of 16
#else
constexpr int kTilePanels = 1, kTileQueries = 4;  // 16 of 32
#endif

// Panels of kPanelRows rows of levels (rows, width), panel after panel.
void Transpose(const uint8_t* levels, int64_t panels, int64_t width, uint8_t* to) {
  const hn::FixedTag<uint32_t, 4> d;
  const hn::FixedTag<uint64_t, 2> dw;
  const hn::FixedTag<uint8_t, 16> db;
  const auto load = [&](const uint8_t* from) LOWBIT_STEP { return hn::BitCast(d, hn::LoadU(db, from)); };
  for (int64_t p = 0; p < panels; ++p, levels += kPanelRows * width, to += kPanelRows * width) {
    for (int64_t j = 0; j < width; j += 16) {
      for (int g = 0; g < kPanelRows; g += 4) {
        const uint8_t* from = levels + g * width + j;
        const auto a = load(from), b = load(from + width), c = load(from + 2 * width),
                   e = load(from + 3 * width);
        const auto ab0 = hn::BitCast(dw, hn::InterleaveLower(d, a, b)),
                   ab1 = hn::BitCast(dw, hn::InterleaveUpper(d, a, b)),
                   ce0 = hn::BitCast(dw, hn::InterleaveLower(d, c, e)),
                   ce1 = hn::BitCast(dw, hn::InterleaveUpper(d, c, e));
        uint8_t* at = to + kPanelRows * j + 4 * g;
        hn::StoreU(hn::BitCast(db, hn::InterleaveLower(dw, ab0, ce0)), db, at);
        hn::StoreU(hn::BitCast(db, hn::InterleaveUpper(dw, ab0, ce0)), db, at + 64);
        hn::StoreU(hn::BitCast(db, hn::InterleaveLower(dw, ab1, ce1)), db, at + 128);
        hn::StoreU(hn::BitCast(db, hn::InterleaveUpper(dw, ab1, ce1)), db, at + 192);
      }
    }
  }
}

// What a tile's scores are made from.
struct TileScores {
  const float *factor, *middle, *weight, *constant;  // of the first query
  const float *scale, *bias;                         // of the first code, padded to whole panels
  int64_t query, row;                                // the first ones
  int64_t left;                                      // codes
};

// A bit a lane.
HWY_INLINE uint64_t BitsOf(hn::Mask<DF> mask) {
#if HWY_TARGET == HWY_AVX3
  return mask.raw;
#else
  uint8_t bytes[8] = {};
  hn::StoreMaskBits(DF(), mask, bytes);
  uint64_t bits;
  std::memcpy(&bits, bytes, sizeof bits);
  return bits;
#endif
}

// Where scores go: all of them,
struct AllScores {
  float* scores;  // (count, n)
  int64_t n;

  template <int kPanels>
  HWY_INLINE void Take(const Floats* score, int64_t query, int64_t row, int64_t left) const {
    Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
      const int64_t first = p * kPanelRows, rows = left - first;
      if (rows <= 0) return;
      float* to = scores + query * n + row + first;
      if (rows >= kPanelRows) {
        StoreFloats(score[p], to);
      } else {
        float last[kPanelRows];
        StoreFloats(score[p], last);
        std::copy(last, last + rows, to);
      }
    });
  }
};

// or those within the queries' limits. Few are, so that one branch settles most tiles.
struct PassedScores {
  PassedRows to;
  int64_t n;

  template <int kPanels>
  HWY_INLINE void Take(const Floats* score, int64_t query, int64_t row, int64_t left) const {
    const auto limit = hn::Set(DF(), to.limit[query]);
    auto any = hn::Le(score[0].v[0], limit);
    Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
      EachPart([&](auto i) LOWBIT_STEP { any = hn::Or(any, hn::Le(score[p].v[i], limit)); });
    });
    if (hn::AllFalse(DF(), any)) return;
    int64_t found = to.found[query];
    int32_t* rows = to.row + query * n;
    float* scores = to.score + query * n;
    float values[kPanels * kPanelRows];
    uint64_t bits = 0;  // a bit a code
    Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
      StoreFloats(score[p], values + p * kPanelRows);
      EachPart([&](auto i) LOWBIT_STEP {
        bits |= BitsOf(hn::Le(score[p].v[i], limit)) << (p * kPanelRows + i * kLanes);
      });
    });
    if (left < kPanels * kPanelRows) bits &= (uint64_t{1} << left) - 1;
    for (; bits != 0; bits &= bits - 1, ++found) {
      const int at = std::countr_zero(bits);
      rows[found] = static_cast<int32_t>(row) + at;
      scores[found] = values[at];
    }
    to.found[query] = found;
  }
};

// The scores of query r from total(p), the sums of panel p's codes.
template <int kPanels, class Total, class Sink>
HWY_INLINE void TakeScores(const TileScores& t, int r, Total&& total, const Sink& sink) {
  Floats score[kPanels];
  Unroll<0, kPanels>([&](auto p) LOWBIT_STEP {
    const Floats scale = LoadFloats(t.scale + p * kPanelRows), bias = LoadFloats(t.bias + p * kPanelRows);
    const Floats value = Sub(ToFloats(total(p)), SetFloats(t.middle[r]));
    const Floats offset = MulAdd(SetFloats(t.weight[r]), bias, SetFloats(t.constant[r]));
    score[p] = MulAdd(Mul(SetFloats(t.factor[r]), scale), value, offset);
  });
  sink.template Take<kPanels>(score, t.query + r, t.row, t.left);
}

template <class Dot, int kBits, int kQueries, int kPanels, class Sink>
HWY_INLINE void ScoreTile(const int8_t* queries, int64_t width, const uint8_t* panels, const TileScores& t,
                          const Sink& sink) {
  using Sum = typename Dot::template Sum<kBits, 1>;
  Sum sum[kQueries][kPanels];
  Unroll<0, kQueries>([&](auto r) LOWBIT_STEP {
    Unroll<0, kPanels>([&](auto p) LOWBIT_STEP { sum[r][p].Start(ZeroInts()); });
  });
  for (int64_t j = 0; j < width; j += 4) {
    Bytes level[kPanels];
    Unroll<0, kPanels>(
        [&](auto p) LOWBIT_STEP { level[p] = LoadBytes(panels + p * kPanelRows * width + kPanelRows * j); });
    Unroll<0, kQueries>([&](auto r) LOWBIT_STEP {
      const Quad q = LoadQuad(queries + r * width + j);
      Unroll<0, kPanels>([&](auto p) LOWBIT_STEP { sum[r][p].template Step<0>(level[p], q); });
    });
  }
  Unroll<0, kQueries>([&](auto r) LOWBIT_STEP {
    TakeScores<kPanels>(
        t, r, [&](auto p) LOWBIT_STEP { return sum[r][p].Total(); }, sink);
  });
}

#if HWY_TARGET == HWY_AVX3
// The same for kTileTokens queries by products of tiles, `width` a multiple of 64; the tiles are configured.
template <class Sink>
HWY_INLINE void ScoreTiles(const int8_t* queries, int64_t width, const uint8_t* panels, const TileScores& t,
                           const Sink& sink) {
  static_assert(kTilePanels == kSumTiles);
  alignas(64) int32_t sums[kTilePanels][kTileTokens * kPanelRows];
  Unroll<0, kTilePanels>([&](auto p) LOWBIT_STEP { ZeroTile<kSumTile + decltype(p)::value>(); });
  for (int64_t j = 0; j < width; j += 64) {
    LoadTile<kXTile>(queries + j, width);
    Unroll<0, kTilePanels>([&](auto p) LOWBIT_STEP {
      constexpr int kCodes = kCodeTile + decltype(p)::value % 2;
      LoadTile<kCodes>(panels + kPanelRows * (p * width + j), 64);
      DotTiles</*kSignedCodes=*/false, kSumTile + decltype(p)::value, kXTile, kCodes>();
    });
  }
  Unroll<0, kTilePanels>([&](auto p) LOWBIT_STEP { StoreTile<kSumTile + decltype(p)::value>(sums[p]); });
  for (int r = 0; r < kTileTokens; ++r) {
    TakeScores<kTilePanels>(
        t, r, [&](auto p) LOWBIT_STEP { return LoadInts(sums[p] + r * kPanelRows); }, sink);
  }
}
#endif

template <class Dot, int kBits, class Sink>
void ScorePanels(const CodeAlphabet& alphabet, const ByteQueries& queries, int64_t blocks,
                 const uint8_t* packed, int64_t stride, int64_t n, const float* scale, const float* bias,
                 const Sink& sink) {
  constexpr int64_t kTileRows = kTilePanels * kPanelRows;
  const int64_t width = blocks * kCodeBlock;
  // What is decoded at a time stays in the first cache level.
  const int64_t run = std::max<int64_t>(1, 16384 / (width * kTileRows)) * kTileRows;
  // What a last tile has beyond the codes is computed and dropped; its numbers only have to be there.
  thread_local Buffer<uint8_t> levels, panels;
  thread_local Buffer<float> padded;
  levels.Reserve(static_cast<size_t>(run * width));
  panels.Reserve(static_cast<size_t>(run * width));
  padded.Reserve(static_cast<size_t>(2 * run));
  float *own_scale = padded.data(), *own_bias = padded.data() + run;
  const bool tiles = IsTileDot<Dot> && width % 64 == 0 && queries.count >= kTileTokens;
  if constexpr (IsTileDot<Dot>) {
    if (tiles) Dot::Configure(/*level=*/2, kTileTokens);
  }
  for (int64_t first = 0; first < n; first += run) {
    const int64_t rows = std::min(run, n - first);
    DecodeCodes(alphabet, blocks, packed + first * stride, stride, rows, levels.data());
    Transpose(levels.data(), (rows + kPanelRows - 1) / kPanelRows, width, panels.data());
    std::copy(scale + first, scale + first + rows, own_scale);
    std::copy(bias + first, bias + first + rows, own_bias);
    for (int64_t i = 0; i < rows; i += kTileRows) {
      const uint8_t* tile = panels.data() + i * width;
      const auto of = [&](int64_t r) {
        return TileScores{queries.factor + r,
                          queries.middle + r,
                          queries.weight + r,
                          queries.constant + r,
                          own_scale + i,
                          own_bias + i,
                          r,
                          first + i,
                          rows - i};
      };
      int64_t r = 0;
      if constexpr (IsTileDot<Dot>) {
        for (; tiles && r + kTileTokens <= queries.count; r += kTileTokens)
          ScoreTiles(queries.bytes + r * width, width, tile, of(r), sink);
      }
      for (; r + kTileQueries <= queries.count; r += kTileQueries)
        ScoreTile<Dot, kBits, kTileQueries, kTilePanels>(queries.bytes + r * width, width, tile, of(r), sink);
      for (; r < queries.count; ++r)
        ScoreTile<Dot, kBits, 1, kTilePanels>(queries.bytes + r * width, width, tile, of(r), sink);
    }
  }
  if constexpr (IsTileDot<Dot>) {
    if (tiles) Dot::Release();
  }
}

template <class Sink>
void ScoreInto(const Sink& sink, ByteProducts products, const CodeAlphabet& alphabet,
               const ByteQueries& queries, int64_t blocks, const uint8_t* packed, int64_t stride, int64_t n,
               const float* scale, const float* bias) {
  const auto score = [&](auto f) { f(alphabet, queries, blocks, packed, stride, n, scale, bias, sink); };
#if HWY_TARGET == HWY_AVX3
  if (products == ByteProducts::kTiles) return score(ScorePanels<TileDot, 8, Sink>);
#endif
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  if (products != ByteProducts::kPairs) return score(ScorePanels<HardwareDot, 8, Sink>);
  return score(alphabet.bits == 8 ? ScorePanels<PairDot, 8, Sink> : ScorePanels<PairDot, 7, Sink>);
#else
  (void)products;
  score(ScorePanels<PlainDot, 8, Sink>);
#endif
}

void ScoreMany(ByteProducts products, const CodeAlphabet& alphabet, const ByteQueries& queries,
               int64_t blocks, const uint8_t* packed, int64_t stride, int64_t n, const float* scale,
               const float* bias, float* scores) {
  ScoreInto(AllScores{scores, n}, products, alphabet, queries, blocks, packed, stride, n, scale, bias);
}

void SelectMany(ByteProducts products, const CodeAlphabet& alphabet, const ByteQueries& queries,
                int64_t blocks, const uint8_t* packed, int64_t stride, int64_t n, const float* scale,
                const float* bias, const PassedRows& passed) {
  std::fill(passed.found, passed.found + passed.count, int64_t{0});
  ScoreInto(PassedScores{passed, n}, products, alphabet, queries, blocks, packed, stride, n, scale, bias);
}

#else

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;

// Never called: the scalar target takes query by query.
void ScoreMany(ByteProducts, const CodeAlphabet&, const ByteQueries&, int64_t, const uint8_t*, int64_t,
               int64_t, const float*, const float*, float*) {}
void SelectMany(ByteProducts, const CodeAlphabet&, const ByteQueries&, int64_t, const uint8_t*, int64_t,
                int64_t, const float*, const float*, const PassedRows&) {}

#endif  // LOWBIT_VECTOR_TARGET

// One query's sums to scores.
void Finish(const int32_t* sums, int64_t n, float factor, float middle, float weight, float constant,
            const float* scale, const float* bias, float* scores) {
  const DF d;
  const DI di;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto f = hn::Set(d, factor), m = hn::Set(d, middle), w = hn::Set(d, weight), c = hn::Set(d, constant);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto sum = hn::Sub(hn::ConvertTo(d, hn::LoadU(di, sums + i)), m);
    const auto offset = hn::MulAdd(w, hn::LoadU(d, bias + i), c);
    hn::StoreU(hn::MulAdd(hn::Mul(f, hn::LoadU(d, scale + i)), sum, offset), d, scores + i);
  }
  const hn::CappedTag<float, 1> one;
  for (; i < n; ++i) {
    const auto sum = hn::Set(one, static_cast<float>(sums[i]) - middle);
    const auto offset = hn::MulAdd(hn::Set(one, weight), hn::Set(one, bias[i]), hn::Set(one, constant));
    hn::Store(hn::MulAdd(hn::Set(one, factor * scale[i]), sum, offset), one, scores + i);
  }
}

// Factors are gathered many at a time: a vector that is loaded right after its parts were stored waits for
// them.
constexpr int64_t kFactorRun = 256;

// factors[i] of halves[i], i < count; `halves` is padded to whole vectors.
void ConvertFactors(uint16_t* halves, int64_t count, float multiplier, bool squared, float* factors) {
  const DF d;
  const hn::Rebind<hwy::float16_t, DF> half;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  HWY_ALIGN float last[16];
  std::fill(halves + count, halves + (count + lanes - 1) / lanes * lanes, uint16_t{0});
  for (int64_t i = 0; i < count; i += lanes) {
    const auto loaded = hn::PromoteTo(d, hn::Load(half, reinterpret_cast<const hwy::float16_t*>(halves + i)));
    auto factor = hn::Mul(loaded, hn::Set(d, multiplier));
    if (squared) factor = hn::Mul(factor, factor);
    if (i + lanes <= count) {
      hn::StoreU(factor, d, factors + i);
    } else {
      hn::Store(factor, d, last);
      std::copy(last, last + (count - i), factors + i);
    }
  }
}

void Factors(const uint8_t* from, int64_t stride, int64_t n, float multiplier, bool squared, float* factors) {
  HWY_ALIGN uint16_t halves[kFactorRun];
  for (int64_t begin = 0; begin < n; begin += kFactorRun) {
    const int64_t count = std::min(kFactorRun, n - begin);
    for (int64_t i = 0; i < count; ++i, from += stride) std::memcpy(halves + i, from, sizeof halves[0]);
    ConvertFactors(halves, count, multiplier, squared, factors + begin);
  }
}

void TwoFactors(const uint8_t* from, int64_t stride, int64_t n, float multiplier, bool squared, float* first,
                float* second) {
  HWY_ALIGN uint16_t halves[2][kFactorRun];
  for (int64_t begin = 0; begin < n; begin += kFactorRun) {
    const int64_t count = std::min(kFactorRun, n - begin);
    for (int64_t i = 0; i < count; ++i, from += stride) {
      uint32_t both;
      std::memcpy(&both, from, sizeof both);
      halves[0][i] = static_cast<uint16_t>(both);
      halves[1][i] = static_cast<uint16_t>(both >> 16);
    }
    ConvertFactors(halves[0], count, multiplier, false, first + begin);
    ConvertFactors(halves[1], count, 1, squared, second + begin);
  }
}

float Round(const float* q, int64_t n, int8_t* bytes, int32_t* total) {
  const DF d;
  const DI di;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto most = hn::Zero(d);
  int64_t j = 0;
  for (; j + lanes <= n; j += lanes) most = hn::Max(most, hn::Abs(hn::LoadU(d, q + j)));
  float largest = hn::GetLane(hn::MaxOfLanes(d, most));
  for (; j < n; ++j) largest = std::max(largest, std::max(q[j], -q[j]));
  *total = 0;
  if (largest == 0) {
    std::fill(bytes, bytes + n, int8_t{0});
    return 0;
  }
  const float step = largest / 127.0f, inverse = 127.0f / largest;
  const hn::Rebind<int8_t, DI> d8;
  const auto factor = hn::Set(d, inverse);
  auto sum = hn::Zero(di);
  for (j = 0; j + lanes <= n; j += lanes) {
    const auto rounded = hn::NearestInt(hn::Mul(hn::LoadU(d, q + j), factor));
    sum = hn::Add(sum, rounded);
    hn::StoreU(hn::DemoteTo(d8, rounded), d8, bytes + j);
  }
  *total = hn::GetLane(hn::SumOfLanes(di, sum));
  const hn::CappedTag<float, 1> one;
  const hn::RebindToSigned<decltype(one)> one_int;
  for (; j < n; ++j) {
    const int32_t rounded = hn::GetLane(hn::BitCast(one_int, hn::NearestInt(hn::Set(one, q[j] * inverse))));
    bytes[j] = static_cast<int8_t>(rounded);
    *total += rounded;
  }
  return step;
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(Finish);
HWY_EXPORT(Factors);
HWY_EXPORT(TwoFactors);
HWY_EXPORT(Round);
HWY_EXPORT(ScoreMany);
HWY_EXPORT(SelectMany);

namespace {

// A transposition pays from a few queries on.
bool PaysInPanels(const ByteQueries& queries) {
  constexpr int64_t kFewQueries = 4;
  return queries.count >= kFewQueries && CurrentTarget() != Target::kScalar;
}

}  // namespace

void ScoreCodes(const CodeAlphabet& alphabet, const ByteQueries& queries, int64_t blocks,
                const uint8_t* packed, int64_t stride, int64_t n, const float* scale, const float* bias,
                float* scores) {
  if (PaysInPanels(queries)) {
    return LOWBIT_KERNEL(ScoreMany)(ProductsOf(CurrentTarget()), alphabet, queries, blocks, packed, stride, n,
                                    scale, bias, scores);
  }
  thread_local Buffer<int32_t> sums;
  sums.Reserve(static_cast<size_t>(queries.count * n));
  ScanCodes(alphabet, queries.bytes, queries.count, blocks, packed, stride, n, sums.data());
  for (int64_t r = 0; r < queries.count; ++r) {
    LOWBIT_KERNEL(Finish)
    (sums.data() + r * n, n, queries.factor[r], queries.middle[r], queries.weight[r], queries.constant[r],
     scale, bias, scores + r * n);
  }
}

void SelectCodes(const CodeAlphabet& alphabet, const ByteQueries& queries, int64_t blocks,
                 const uint8_t* packed, int64_t stride, int64_t n, const float* scale, const float* bias,
                 const PassedRows& passed) {
  if (PaysInPanels(queries)) {
    return LOWBIT_KERNEL(SelectMany)(ProductsOf(CurrentTarget()), alphabet, queries, blocks, packed, stride,
                                     n, scale, bias, passed);
  }
  ScoreCodes(alphabet, queries, blocks, packed, stride, n, scale, bias, passed.score);
  SelectPassed(n, passed);
}

void LoadFactors(const uint8_t* from, int64_t stride, int64_t n, float multiplier, bool squared,
                 float* factors) {
  LOWBIT_KERNEL(Factors)(from, stride, n, multiplier, squared, factors);
}

void LoadTwoFactors(const uint8_t* from, int64_t stride, int64_t n, float multiplier, bool squared,
                    float* first, float* second) {
  LOWBIT_KERNEL(TwoFactors)(from, stride, n, multiplier, squared, first, second);
}

float RoundToBytes(const float* q, int64_t n, int8_t* bytes, int32_t* sum) {
  return LOWBIT_KERNEL(Round)(q, n, bytes, sum);
}

}  // namespace lowbit
#endif  // HWY_ONCE
