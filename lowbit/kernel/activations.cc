#include "lowbit/kernel/activations.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/activations.cc"
#include "lowbit/kernel/simd.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Copies the block x, whose largest magnitude is `most`, to `inliers` with zeros for its outliers, which it
// lists in the order of their columns (`column` counted in the block, `token` left alone). Returns the
// largest magnitude that is left. Magnitudes are compared with their sum in whole steps of most / 2^20: sums
// of integers have no order, so that every target finds the same columns.
float TakeOutliers(const float* x, int64_t cols, float most, float* inliers, Outlier* outliers,
                   uint8_t* count) {
  const hn::CappedTag<float, 16> d;
  const hn::RebindToSigned<decltype(d)> di;
  constexpr int kStep = static_cast<int>(hn::MaxLanes(d));
  std::copy_n(x, kActivationBlock, inliers);
  for (*count = 0; *count < kMostOutliers && *count + 1 < cols && most > 0x1p-100f; ++*count) {
    const float steps = 0x1p20f / most;
    auto sum = hn::Zero(di);
    for (int c = 0; c < kActivationBlock; c += kStep) {
      sum = hn::Add(sum, hn::ConvertTo(di, hn::Mul(hn::Abs(hn::LoadU(d, inliers + c)), hn::Set(d, steps))));
    }
    const auto own = static_cast<int32_t>(most * steps);
    const auto left = static_cast<float>(hn::GetLane(hn::SumOfLanes(di, sum)) - own);
    if (static_cast<float>(own) * static_cast<float>(cols - *count - 1) <= kOutlierRatio * left) break;
    intptr_t at = -1;
    int c = -kStep;
    while (at < 0) {
      c += kStep;
      at = hn::FindFirstTrue(d, hn::Eq(hn::Abs(hn::LoadU(d, inliers + c)), hn::Set(d, most)));
    }
    at += c;
    int place = *count;
    for (; place > 0 && outliers[place - 1].column > at; --place) outliers[place] = outliers[place - 1];
    outliers[place] = {.column = static_cast<int32_t>(at), .token = 0, .value = inliers[at]};
    inliers[at] = 0;
    auto largest = hn::Zero(d);
    for (c = 0; c < kActivationBlock; c += kStep)
      largest = hn::Max(largest, hn::Abs(hn::LoadU(d, inliers + c)));
    most = hn::GetLane(hn::MaxOfLanes(d, largest));
  }
  return most;
}

// One block of 128 columns, padded with zeros from `cols` on: codes, the sums of each 16 and the outliers, in
// the order of their columns. Returns the scale.
float QuantizeBlock(const float* x, int64_t cols, int8_t* codes, int32_t* sums, Outlier* outliers,
                    uint8_t* outlier_count) {
  const hn::CappedTag<float, 16> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<int8_t, decltype(d)> small;
  constexpr int kStep = static_cast<int>(hn::MaxLanes(d));
  auto largest = hn::Zero(d);
  auto total = hn::Zero(d);
  auto wrong = hn::Zero(d);  // NaN once x has a NaN or an infinity: x - x
  for (int c = 0; c < kActivationBlock; c += kStep) {
    const auto v = hn::LoadU(d, x + c);
    largest = hn::Max(largest, hn::Abs(v));
    total = hn::Add(total, hn::Abs(v));
    wrong = hn::Add(wrong, hn::Sub(v, v));
  }
  float most = hn::GetLane(hn::MaxOfLanes(d, largest));
  const float poison = hn::GetLane(hn::SumOfLanes(d, wrong));
  const bool usable = poison == 0.0f && most > 0.0f;
  // The sum is rounded in another order on every target, so it only says where to look closer.
  *outlier_count = 0;
  alignas(64) float inliers[kActivationBlock];
  if (usable &&
      most * static_cast<float>(cols) > 0.99f * kOutlierRatio * hn::GetLane(hn::SumOfLanes(d, total))) {
    most = TakeOutliers(x, cols, most, inliers, outliers, outlier_count);
    x = inliers;
  }
  // Below 2^-118 the inverse would overflow; such a block is zero for every purpose.
  const float inverse = usable && most > 0x1p-118f ? 127.0f / most : 0.0f;
  const auto factor = hn::Set(d, inverse);
  for (int u = 0; u < kActivationBlock / 16; ++u) {
    auto sum = hn::Zero(di);
    for (int c = 16 * u; c < 16 * u + 16; c += kStep) {
      const auto v = usable ? hn::LoadU(d, x + c) : hn::Zero(d);
      const auto q = hn::NearestInt(hn::Mul(v, factor));
      sum = hn::Add(sum, q);
      hn::StoreU(hn::DemoteTo(small, q), small, codes + c);
    }
    sums[u] = hn::GetLane(hn::SumOfLanes(di, sum));
  }
  if (poison != 0.0f || most != most) return std::numeric_limits<float>::quiet_NaN();
  return inverse == 0.0f ? 0.0f : most / 127.0f;
}

void QuantizeRow(const float* x, int64_t cols, int8_t* codes, float* scales, int32_t* sums, Outlier* outliers,
                 uint8_t* outlier_counts) {
  const int64_t whole = cols / kActivationBlock;
  for (int64_t b = 0; b < whole; ++b) {
    scales[b] = QuantizeBlock(x + b * kActivationBlock, kActivationBlock, codes + b * kActivationBlock,
                              sums + b * 8, outliers + b * kMostOutliers, outlier_counts + b);
  }
  if (const int64_t rest = cols % kActivationBlock; rest != 0) {
    float padded[kActivationBlock] = {};
    std::copy_n(x + whole * kActivationBlock, rest, padded);
    scales[whole] = QuantizeBlock(padded, rest, codes + whole * kActivationBlock, sums + whole * 8,
                                  outliers + whole * kMostOutliers, outlier_counts + whole);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(QuantizeRow);

void QuantizedActivations::Quantize(const float* x, int64_t tokens, int64_t cols, int64_t stride,
                                    ThreadPool& pool) {
  tokens_ = tokens;
  cols_ = cols;
  padded_ = (cols + kActivationBlock - 1) / kActivationBlock * kActivationBlock;
  const int64_t blocks = padded_ / kActivationBlock;
  codes_.Reserve(static_cast<size_t>(tokens * padded_));
  scales_.Reserve(static_cast<size_t>(tokens * blocks));
  sums_.Reserve(static_cast<size_t>(tokens * blocks * 15));
  found_.Reserve(static_cast<size_t>(tokens * blocks * kMostOutliers));
  found_in_.Reserve(static_cast<size_t>(tokens * blocks));
  const auto quantize_row = LOWBIT_KERNEL(QuantizeRow);
  // A handful of rows is faster than waking a thread.
  constexpr int64_t kRowsOfTask = 4;
  const int64_t tasks = tokens <= 2 ? 1 : (tokens + kRowsOfTask - 1) / kRowsOfTask;
  pool.Run(tasks, [&](int64_t task, int) {
    const int64_t end = std::min(tokens, (task + 1) * kRowsOfTask);
    for (int64_t t = task * kRowsOfTask; t < end; ++t) {
      auto* fine = const_cast<int32_t*>(sums(0, t));
      quantize_row(x + t * stride, cols, codes_.data() + t * padded_, scales_.data() + t * blocks, fine,
                   found_.data() + t * blocks * kMostOutliers, found_in_.data() + t * blocks);
      for (int level = 1; level < 4; ++level) {
        auto* coarse = const_cast<int32_t*>(sums(level, t));
        for (int64_t u = 0; u < blocks * 8 >> level; ++u) coarse[u] = fine[2 * u] + fine[2 * u + 1];
        fine = coarse;
      }
    }
  });
  CollectOutliers();
}

// A counting sort: tokens come in order, so each column's do.
void QuantizedActivations::CollectOutliers() {
  const int64_t blocks = padded_ / kActivationBlock;
  outlier_count_ = 0;
  for (int64_t i = 0; i < tokens_ * blocks; ++i) outlier_count_ += found_in_[i];
  if (outlier_count_ == 0) return;
  outliers_.Reserve(outlier_count_);
  first_of_column_.Reserve(static_cast<size_t>(padded_) + 1);
  std::fill_n(first_of_column_.data(), padded_ + 1, 0);
  const auto each = [&](auto&& visit) {
    for (int64_t i = 0; i < tokens_ * blocks; ++i) {
      for (int k = 0; k < found_in_[i]; ++k) {
        Outlier outlier = found_[i * kMostOutliers + k];
        outlier.token = static_cast<int32_t>(i / blocks);
        outlier.column += static_cast<int32_t>(i % blocks * kActivationBlock);
        visit(outlier);
      }
    }
  };
  each([&](const Outlier& o) { ++first_of_column_[o.column + 1]; });
  for (int64_t c = 0; c < padded_; ++c) first_of_column_[c + 1] += first_of_column_[c];
  each([&](const Outlier& o) { outliers_[first_of_column_[o.column]++] = o; });
}

}  // namespace lowbit
#endif  // HWY_ONCE
