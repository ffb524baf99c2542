#include "lowbit/kernel/row_scores.h"

#include <algorithm>
#include <bit>
#include <cstring>

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

// Floats as integers of the same order, and back.
HWY_INLINE int32_t Ordered(int32_t bits) {
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

float Smallest(const float* values, int64_t n, int64_t k) {
  const hn::RebindToSigned<DF> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto low_bits = hn::Set(d, 0x7fffffff);
  const int64_t padded = (n + lanes - 1) / lanes * lanes;
  Buffer<int32_t> keys(static_cast<size_t>(padded));
  std::memcpy(keys.data(), values, static_cast<size_t>(n) * sizeof(float));
  std::fill(keys.data() + n, keys.data() + padded, 0x7fffffff);  // after every value
  auto least = hn::Set(d, 0x7fffffff), most = hn::Set(d, -0x7fffffff - 1);
  for (int64_t i = 0; i < padded; i += lanes) {
    const auto bits = hn::Load(d, keys.data() + i);
    const auto key = hn::Xor(bits, hn::And(hn::ShiftRight<31>(bits), low_bits));
    hn::Store(key, d, keys.data() + i);
    least = hn::Min(least, key);
    most = hn::Max(most, key);
  }
  int64_t low = hn::GetLane(hn::MinOfLanes(d, least)), high = hn::GetLane(hn::MaxOfLanes(d, most));
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    const auto limit = hn::Set(d, static_cast<int32_t>(middle));
    auto above = hn::Zero(d);  // minus their number in each lane
    for (int64_t i = 0; i < padded; i += lanes)
      above = hn::Add(above, hn::VecFromMask(d, hn::Gt(hn::Load(d, keys.data() + i), limit)));
    const int64_t within = padded + hn::GetLane(hn::SumOfLanes(d, above));
    if (within >= k) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return std::bit_cast<float>(Ordered(static_cast<int32_t>(low)));
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(Score);
HWY_EXPORT(Select);
HWY_EXPORT(Smallest);

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

float KthSmallest(const float* values, int64_t n, int64_t k) {
  return LOWBIT_KERNEL(Smallest)(values, n, k);
}

}  // namespace lowbit
#endif  // HWY_ONCE
