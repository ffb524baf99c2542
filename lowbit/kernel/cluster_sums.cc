#include "lowbit/kernel/cluster_sums.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/cluster_sums.cc"
#include "lowbit/kernel/simd.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(D()));

HWY_INLINE float SquaredDistance(const float* HWY_RESTRICT x, const float* HWY_RESTRICT c, int64_t width) {
  const D d;
  auto sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const auto difference = hn::Sub(hn::LoadU(d, x + i), hn::LoadU(d, c + i));
    sum = hn::MulAdd(difference, difference, sum);
  }
  float total = i == 0 ? 0.0f : hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < width; ++i) total += (x[i] - c[i]) * (x[i] - c[i]);
  return total;
}

void Lower(MatrixView<const float> points, const float* centroid, float* distance) {
  for (int64_t p = 0; p < points.rows; ++p)
    distance[p] = std::min(distance[p], SquaredDistance(points.Row(p), centroid, points.cols));
}

void Add(MatrixView<const float> points, std::span<const int32_t> members, const float* weights,
         const float* centroid, double* HWY_RESTRICT sum, float* distance) {
  const hn::ScalableTag<double> wide;
  const hn::Rebind<float, decltype(wide)> narrow;
  constexpr auto kWide = static_cast<int64_t>(hn::MaxLanes(wide));
  for (const int32_t p : members) {
    const float* HWY_RESTRICT x = points.Row(p);
    const double weight = weights == nullptr ? 1.0 : weights[p];
    int64_t i = 0;
    for (; i + kWide <= points.cols; i += kWide) {
      const auto value = hn::PromoteTo(wide, hn::LoadU(narrow, x + i));
      hn::StoreU(hn::Add(hn::LoadU(wide, sum + i), hn::Mul(value, hn::Set(wide, weight))), wide, sum + i);
    }
    for (; i < points.cols; ++i) sum[i] += x[i] * weight;
    *distance++ = SquaredDistance(x, centroid, points.cols);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(Lower);
HWY_EXPORT(Add);

void LowerSquaredDistances(MatrixView<const float> points, const float* centroid, float* distance) {
  LOWBIT_KERNEL(Lower)(points, centroid, distance);
}

void AddMembers(MatrixView<const float> points, std::span<const int32_t> members, const float* weights,
                const float* centroid, double* sum, float* distance) {
  LOWBIT_KERNEL(Add)(points, members, weights, centroid, sum, distance);
}

}  // namespace lowbit
#endif  // HWY_ONCE
