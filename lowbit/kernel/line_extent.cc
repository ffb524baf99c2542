#include "lowbit/kernel/line_extent.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/line_extent.cc"
#include "lowbit/kernel/simd.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DD = hn::CappedTag<double, 8>;
using DF = hn::Rebind<float, DD>;

LineExtent Extent(const float* x, int64_t n) {
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(DD())), kParts = 8 / kLanes;
  const DF d;
  const DD dd;
  auto low = hn::Set(d, x[0]), high = low;
  hn::Vec<DD> magnitude[kParts], square[kParts];
  for (int k = 0; k < kParts; ++k) magnitude[k] = square[k] = hn::Zero(dd);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int k = 0; k < kParts; ++k) {
      const auto v = hn::LoadU(d, x + i + k * kLanes);
      low = hn::Min(low, v);
      high = hn::Max(high, v);
      const auto wide = hn::PromoteTo(dd, v);
      magnitude[k] = hn::Add(magnitude[k], hn::Abs(wide));
      square[k] = hn::MulAdd(wide, wide, square[k]);  // products of two f32 are exact
    }
  }
  LineExtent e{.low = hn::GetLane(hn::MinOfLanes(d, low)), .high = hn::GetLane(hn::MaxOfLanes(d, high))};
  double sum[2][8];
  for (int k = 0; k < kParts; ++k) {
    hn::StoreU(magnitude[k], dd, sum[0] + k * kLanes);
    hn::StoreU(square[k], dd, sum[1] + k * kLanes);
  }
  for (int lane = 0; i < n; ++i, ++lane) {
    e.low = std::min(e.low, x[i]);
    e.high = std::max(e.high, x[i]);
    sum[0][lane] += std::abs(double{x[i]});
    sum[1][lane] += double{x[i]} * x[i];
  }
  for (int half = 4; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) {
      sum[0][lane] += sum[0][lane + half];
      sum[1][lane] += sum[1][lane + half];
    }
  }
  e.low += 0.0f;
  e.high += 0.0f;
  e.magnitude = sum[0][0];
  e.square = sum[1][0];
  return e;
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(Extent);

LineExtent ExtentOf(const float* x, int64_t n) {
  return LOWBIT_KERNEL(Extent)(x, n);
}

}  // namespace lowbit
#endif  // HWY_ONCE
