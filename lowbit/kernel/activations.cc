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

// One block of 128 columns: codes and the sums of each 16. Returns the scale.
float QuantizeBlock(const float* x, int8_t* codes, int32_t* sums) {
  const hn::CappedTag<float, 16> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<int8_t, decltype(d)> small;
  constexpr int kStep = static_cast<int>(hn::MaxLanes(d));
  auto largest = hn::Zero(d);
  auto wrong = hn::Zero(d);  // NaN once x has a NaN or an infinity: x - x
  for (int c = 0; c < kActivationBlock; c += kStep) {
    const auto v = hn::LoadU(d, x + c);
    largest = hn::Max(largest, hn::Abs(v));
    wrong = hn::Add(wrong, hn::Sub(v, v));
  }
  const float most = hn::GetLane(hn::MaxOfLanes(d, largest));
  const float poison = hn::GetLane(hn::SumOfLanes(d, wrong));
  const bool usable = poison == 0.0f && most > 0.0f;
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

void QuantizeRow(const float* x, int64_t cols, int8_t* codes, float* scales, int32_t* sums) {
  const int64_t whole = cols / kActivationBlock;
  for (int64_t b = 0; b < whole; ++b) {
    scales[b] = QuantizeBlock(x + b * kActivationBlock, codes + b * kActivationBlock, sums + b * 8);
  }
  if (const int64_t rest = cols % kActivationBlock; rest != 0) {
    float padded[kActivationBlock] = {};
    std::copy_n(x + whole * kActivationBlock, rest, padded);
    scales[whole] = QuantizeBlock(padded, codes + whole * kActivationBlock, sums + whole * 8);
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
  const auto quantize_row = LOWBIT_KERNEL(QuantizeRow);
  // A handful of rows is faster than waking a thread.
  constexpr int64_t kRowsOfTask = 4;
  const int64_t tasks = tokens <= 2 ? 1 : (tokens + kRowsOfTask - 1) / kRowsOfTask;
  pool.Run(tasks, [&](int64_t task, int) {
    const int64_t end = std::min(tokens, (task + 1) * kRowsOfTask);
    for (int64_t t = task * kRowsOfTask; t < end; ++t) {
      auto* fine = const_cast<int32_t*>(sums(0, t));
      quantize_row(x + t * stride, cols, codes_.data() + t * padded_, scales_.data() + t * blocks, fine);
      for (int level = 1; level < 4; ++level) {
        auto* coarse = const_cast<int32_t*>(sums(level, t));
        for (int64_t u = 0; u < blocks * 8 >> level; ++u) coarse[u] = fine[2 * u] + fine[2 * u + 1];
        fine = coarse;
      }
    }
  });
}

}  // namespace lowbit
#endif  // HWY_ONCE
