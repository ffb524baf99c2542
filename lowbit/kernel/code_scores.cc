#include "lowbit/kernel/code_scores.h"

#include <algorithm>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/code_scores.cc"
#include "lowbit/kernel/simd.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;

// One query's sums to scores.
void Finish(const int32_t* sums, int64_t n, float factor, float middle, float constant, const float* scale,
            const float* bias, float* scores) {
  const DF d;
  const DI di;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto f = hn::Set(d, factor), m = hn::Set(d, middle), c = hn::Set(d, constant);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto sum = hn::Sub(hn::ConvertTo(d, hn::LoadU(di, sums + i)), m);
    const auto offset = hn::Add(hn::LoadU(d, bias + i), c);
    hn::StoreU(hn::MulAdd(hn::Mul(f, hn::LoadU(d, scale + i)), sum, offset), d, scores + i);
  }
  const hn::CappedTag<float, 1> one;
  for (; i < n; ++i) {
    const auto sum = hn::Set(one, static_cast<float>(sums[i]) - middle);
    const auto offset = hn::Set(one, bias[i] + constant);
    hn::Store(hn::MulAdd(hn::Set(one, factor * scale[i]), sum, offset), one, scores + i);
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
  const auto factor = hn::Set(d, inverse);
  alignas(64) int32_t rounded[16];
  for (j = 0; j < n;) {
    int64_t count = lanes;
    if (j + lanes <= n) {
      hn::Store(hn::NearestInt(hn::Mul(hn::LoadU(d, q + j), factor)), di, rounded);
    } else {
      const hn::CappedTag<float, 1> one;
      const hn::RebindToSigned<decltype(one)> one_int;
      count = n - j;
      for (int64_t k = 0; k < count; ++k)
        hn::Store(hn::NearestInt(hn::Set(one, q[j + k] * inverse)), one_int, rounded + k);
    }
    for (int64_t k = 0; k < count; ++k) {
      const int32_t value = std::clamp(rounded[k], -127, 127);
      bytes[j + k] = static_cast<int8_t>(value);
      *total += value;
    }
    j += count;
  }
  return step;
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(Finish);
HWY_EXPORT(Round);

void ScoreCodes(const Alphabet& alphabet, const ByteQueries& queries, int64_t blocks, const uint8_t* packed,
                int64_t stride, int64_t n, const float* scale, const float* bias, float* scores) {
  std::vector<int32_t> sums(static_cast<size_t>(queries.count * n));
  ScanCodes(alphabet, queries.bytes, queries.count, blocks, packed, stride, n, sums.data());
  for (int64_t r = 0; r < queries.count; ++r) {
    LOWBIT_KERNEL(Finish)
    (sums.data() + r * n, n, queries.factor[r], queries.middle[r], queries.constant[r], scale, bias,
     scores + r * n);
  }
}

float RoundToBytes(const float* q, int64_t n, int8_t* bytes, int32_t* sum) {
  return LOWBIT_KERNEL(Round)(q, n, bytes, sum);
}

}  // namespace lowbit
#endif  // HWY_ONCE
