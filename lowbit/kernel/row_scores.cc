#include "lowbit/kernel/row_scores.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "lowbit/base/buffer.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/row_scores.cc"
#include "lowbit/kernel/simd.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using Floats = hn::Vec<DF>;

template <ScoreKind kKind>
HWY_INLINE Floats Accumulate(Floats sum, Floats q, Floats x) {
  if constexpr (kKind == ScoreKind::kNegativeProduct) return hn::NegMulAdd(q, x, sum);
  const Floats difference = hn::Sub(q, x);
  return hn::MulAdd(difference, difference, sum);
}

// kQueries queries against kRows rows: each row and query is loaded once for all of the other kind.
template <ScoreKind kKind, int kQueries, int kRows>
HWY_INLINE void Tile(const float* queries, const float* rows, int64_t dim, int64_t n, float* scores) {
  const DF d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  Floats sum[kQueries * kRows];
  for (auto& s : sum) s = hn::Zero(d);
  int64_t j = 0;
  for (; j + lanes <= dim; j += lanes) {
    Floats q[kQueries];
    for (int r = 0; r < kQueries; ++r) q[r] = hn::LoadU(d, queries + r * dim + j);
    for (int i = 0; i < kRows; ++i) {
      const Floats x = hn::LoadU(d, rows + i * dim + j);
      for (int r = 0; r < kQueries; ++r)
        sum[i * kQueries + r] = Accumulate<kKind>(sum[i * kQueries + r], q[r], x);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int r = 0; r < kQueries; ++r) {
      float total = hn::GetLane(hn::SumOfLanes(d, sum[i * kQueries + r]));
      for (int64_t k = j; k < dim; ++k) {
        const float q = queries[r * dim + k], x = rows[i * dim + k];
        total += kKind == ScoreKind::kNegativeProduct ? -(q * x) : (q - x) * (q - x);
      }
      scores[r * n + i] = total;
    }
  }
}

template <ScoreKind kKind, int kQueries>
void Rows(const float* queries, const float* rows, int64_t n, int64_t dim, float* scores) {
  constexpr int kRows = 4;
  int64_t i = 0;
  for (; i + kRows <= n; i += kRows)
    Tile<kKind, kQueries, kRows>(queries, rows + i * dim, dim, n, scores + i);
  for (; i < n; ++i) Tile<kKind, kQueries, 1>(queries, rows + i * dim, dim, n, scores + i);
}

template <ScoreKind kKind>
void AllRows(const float* queries, int64_t count, const float* rows, int64_t n, int64_t dim, float* scores) {
  int64_t r = 0;
  for (; r + 4 <= count; r += 4) Rows<kKind, 4>(queries + r * dim, rows, n, dim, scores + r * n);
  for (; r < count; ++r) Rows<kKind, 1>(queries + r * dim, rows, n, dim, scores + r * n);
}

void Score(ScoreKind kind, const float* queries, int64_t count, const float* rows, int64_t n, int64_t dim,
           float* scores) {
  if (kind == ScoreKind::kNegativeProduct) {
    AllRows<ScoreKind::kNegativeProduct>(queries, count, rows, n, dim, scores);
  } else {
    AllRows<ScoreKind::kSquaredDistance>(queries, count, rows, n, dim, scores);
  }
}

int64_t Select(const float* scores, int64_t n, float threshold, int32_t* index) {
  const DF d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const Floats limit = hn::Set(d, threshold);
  int64_t found = 0, i = 0;
  // Few pass: four vectors are looked at together.
  const auto smaller = [&](int64_t at) HWY_ATTR {
    return hn::Min(hn::LoadU(d, scores + at), hn::LoadU(d, scores + at + lanes));
  };
  while (i + 4 * lanes <= n) {
    if (hn::AllFalse(d, hn::Le(hn::Min(smaller(i), smaller(i + 2 * lanes)), limit))) {
      i += 4 * lanes;
      continue;
    }
    for (int part = 0; part < 4; ++part, i += lanes) {
      uint8_t bytes[8] = {};
      hn::StoreMaskBits(d, hn::Le(hn::LoadU(d, scores + i), limit), bytes);
      uint64_t bits;
      std::memcpy(&bits, bytes, sizeof bits);
      for (; bits != 0; bits &= bits - 1) index[found++] = static_cast<int32_t>(i) + std::countr_zero(bits);
    }
  }
  for (; i < n; ++i) {
    if (scores[i] <= threshold) index[found++] = static_cast<int32_t>(i);
  }
  return found;
}

// The float of an integer key: keys are magnitudes with a sign, in the order of the floats, -0 and 0 one key.
HWY_INLINE float FloatOfKey(int32_t key) {
  return std::bit_cast<float>(key < 0 ? -key | std::numeric_limits<int32_t>::min() : key);
}

int64_t Within(const float* values, int64_t n, int64_t k, int64_t slack, float* limit) {
  const hn::RebindToSigned<DF> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto magnitude = hn::Set(d, 0x7fffffff);
  const int64_t padded = (n + lanes - 1) / lanes * lanes;
  HWY_ALIGN int32_t few[512];
  Buffer<int32_t> many(padded > 512 ? static_cast<size_t>(padded) : 0);
  int32_t* keys = padded > 512 ? many.data() : few;
  std::memcpy(keys, values, static_cast<size_t>(n) * sizeof(float));
  std::fill(keys + n, keys + padded, 0x7fffffff);  // after every value
  auto least = hn::Set(d, 0x7fffffff), most = hn::Set(d, -0x7fffffff - 1);
  for (int64_t i = 0; i < padded; i += lanes) {
    const auto bits = hn::Load(d, keys + i);
    const auto sign = hn::ShiftRight<31>(bits);
    const auto key = hn::Sub(hn::Xor(hn::And(bits, magnitude), sign), sign);
    hn::Store(key, d, keys + i);
    least = hn::Min(least, key);
    most = hn::Max(most, key);
  }
  constexpr int64_t kInfinity = 0x7f800000;  // the greatest key of a value
  int64_t low = hn::GetLane(hn::MinOfLanes(d, least));
  int64_t high = std::min<int64_t>(kInfinity, hn::GetLane(hn::MaxOfLanes(d, most)));
  int64_t within = n;  // values up to high
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    const auto bound = hn::Set(d, static_cast<int32_t>(middle));
    auto above = hn::Zero(d);  // minus their number in each lane
    for (int64_t i = 0; i < padded; i += lanes)
      above = hn::Add(above, hn::VecFromMask(d, hn::Gt(hn::Load(d, keys + i), bound)));
    const int64_t count = padded + hn::GetLane(hn::SumOfLanes(d, above));
    if (count < k) {
      low = middle + 1;
      continue;
    }
    high = middle;
    within = count;
    if (count <= k + slack) break;
  }
  *limit = FloatOfKey(static_cast<int32_t>(high));
  return within;
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(Score);
HWY_EXPORT(Select);
HWY_EXPORT(Within);

void ScoreRows(ScoreKind kind, const float* queries, int64_t count, const float* rows, int64_t n, int64_t dim,
               float* scores) {
  LOWBIT_KERNEL(Score)(kind, queries, count, rows, n, dim, scores);
}

int64_t SelectAtMost(const float* scores, int64_t n, float threshold, int32_t* index) {
  return LOWBIT_KERNEL(Select)(scores, n, threshold, index);
}

void SelectPassed(int64_t n, const PassedRows& passed) {
  for (int64_t r = 0; r < passed.count; ++r) {
    float* score = passed.score + r * n;
    int32_t* row = passed.row + r * n;
    passed.found[r] = SelectAtMost(score, n, passed.limit[r], row);
    for (int64_t h = 0; h < passed.found[r]; ++h) score[h] = score[row[h]];
  }
}

int64_t LimitOfSmallest(const float* values, int64_t n, int64_t k, int64_t slack, float* limit) {
  return LOWBIT_KERNEL(Within)(values, n, k, slack, limit);
}

}  // namespace lowbit
#endif  // HWY_ONCE
