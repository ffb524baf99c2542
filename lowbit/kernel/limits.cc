#include "lowbit/kernel/limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/limits.cc"
#include "lowbit/kernel/simd.h"
// After simd.h, once for each target.
#include "lowbit/kernel/chunk-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {

uint64_t ReadAll(const uint8_t* p, size_t bytes) {
  const hn::ScalableTag<uint64_t> d;
  const size_t lanes = hn::Lanes(d), quarter = bytes / 4 / (8 * lanes) * lanes;
  const auto* q = reinterpret_cast<const uint64_t*>(p);
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (size_t i = 0; i < quarter; i += lanes) {
    a = hn::Or(a, hn::LoadU(d, q + i));
    b = hn::Or(b, hn::LoadU(d, q + quarter + i));
    c = hn::Or(c, hn::LoadU(d, q + 2 * quarter + i));
    e = hn::Or(e, hn::LoadU(d, q + 3 * quarter + i));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Or(hn::Or(a, b), hn::Or(c, e))));
}

// 16 independent sums of `steps` dot products: enough to hide the latency. Returns the operations done.
template <class Dot>
double DotSteps(int64_t steps) {
  using Sum = typename Dot::template Sum<4, 8>;
  alignas(64) static const uint8_t kCodes[64] = {1, 2, 3};
  alignas(64) static const int8_t kInputs[64] = {1, -2, 3};
  Sum sum[16];
  for (Sum& s : sum) s.Start(ZeroInts());
  const Bytes codes = LoadBytes(kCodes);
  const Quad four = LoadQuad(kInputs);
  for (int64_t i = 0; i < steps; ++i) {
    Unroll<0, 16>([&](auto k) LOWBIT_STEP { sum[k].template Step<0>(codes, four); });
  }
  int32_t kept = 0;
  for (const Sum& s : sum) {
    const Ints total = s.Total();
    std::memcpy(&kept, &total, 4);
  }
  static std::atomic<int32_t> sink;
  sink += kept;
  return static_cast<double>(steps) * 16 * 128;
}

double DotRun(int64_t steps, bool byte_dot) {
#if HWY_TARGET == HWY_AVX3
  (void)byte_dot;
  return DotSteps<HardwareDot>(steps);
#elif HWY_TARGET == HWY_AVX2
  return byte_dot ? DotSteps<HardwareDot>(steps) : DotSteps<PairDot>(steps);
#else
  (void)byte_dot;
  return DotSteps<PlainDot>(steps);
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(ReadAll);
HWY_EXPORT(DotRun);

namespace {

double Since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

double MeasureReadBandwidth(std::span<const uint8_t> bytes, ThreadPool& pool) {
  constexpr size_t kTask = size_t{4} << 20;
  const auto tasks = static_cast<int64_t>(bytes.size() / kTask);
  std::atomic<uint64_t> sink{0};
  const auto start = std::chrono::steady_clock::now();
  pool.Run(tasks, [&](int64_t i, int) {
    sink += LOWBIT_KERNEL(ReadAll)(bytes.data() + static_cast<size_t>(i) * kTask, kTask);
  });
  return static_cast<double>(tasks) * kTask / Since(start);
}

double MeasureDotPeak(ThreadPool& pool) {
  std::atomic<double> operations{0};
  const int64_t steps = CurrentTarget() == Target::kScalar ? 20000 : 4000000;
  double best = 0;
  for (int repeat = 0; repeat < 3; ++repeat) {
    operations = 0;
    const auto start = std::chrono::steady_clock::now();
    pool.Run(pool.threads(),
             [&](int64_t, int) { operations += LOWBIT_KERNEL(DotRun)(steps, HasByteDot(CurrentTarget())); });
    best = std::max(best, operations / Since(start));
  }
  return best;
}

}  // namespace lowbit
#endif  // HWY_ONCE
