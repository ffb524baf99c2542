#include "lowbit/quantize/grid.h"

#include <algorithm>
#include <cmath>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"

namespace lowbit {
namespace {

// The nearest positive finite f16: a scale of zero would divide by zero, an infinite one would lose
// everything.
template <typename T>
T StorableScale(T scale) {
  constexpr float kSmallest = 0x1p-24f, kLargest = 65504.0f;
  const float rounded = F16ToFloat(FloatToF16(static_cast<float>(scale)));
  return static_cast<T>(std::clamp(rounded, kSmallest, kLargest));
}

template <typename T>
void GridOfRange(const GridOptions& options, T min, T max, T& scale, T& zero) {
  const T top = static_cast<T>((1 << options.bits) - 1);
  scale = StorableScale((max - min) / top);
  if (options.kind == GridKind::kSymmetric) {
    zero = static_cast<T>(1 << (options.bits - 1));
    return;
  }
  zero = std::clamp(std::nearbyint(-min / scale), T(0), top);
  if (zero < T(options.min_zero)) {
    zero = T(options.min_zero);
    if (top > zero) scale = std::max(scale, StorableScale(max / (top - zero)));
  }
}

}  // namespace

void CheckGridOptions(const GridOptions& options) {
  if (options.bits < 1 || options.bits > 8) FailUsage("bits = {}: must be 1 to 8", options.bits);
  if (options.shrink_steps < 0 || options.shrink_steps > 100) {
    FailUsage("shrink_steps = {}: must be 0 (no search) to 100", options.shrink_steps);
  }
  if (!(options.norm > 0)) FailUsage("norm = {}: must be positive", options.norm);
  if (options.min_zero < 0 || options.min_zero >= 1 << options.bits) {
    FailUsage("min_zero = {}: must be a code of {} bits", options.min_zero, options.bits);
  }
}

template <typename T>
void FitGrids(const GridOptions& options, const T* x, int64_t columns, int64_t stride, const T* weight,
              T* scale, T* zero) {
  const LaneKernels<T>& lanes = Lanes<T>();
  T min[kLanes], max[kLanes];
  lanes.range(x, columns, stride, min, max);
  for (int r = 0; r < kLanes; ++r) {
    if (options.kind == GridKind::kSymmetric) {
      max[r] = std::max(max[r], -min[r]);
      min[r] = -max[r];
    }
    if (min[r] == max[r]) {
      min[r] = T(-1);
      max[r] = T(1);
    }
    GridOfRange(options, min[r], max[r], scale[r], zero[r]);
  }
  if (options.shrink_steps <= 1) return;

  const T top = static_cast<T>((1 << options.bits) - 1), norm = static_cast<T>(options.norm);
  T best[kLanes], error[kLanes], unit[kLanes], trial_scale[kLanes], trial_zero[kLanes];
  for (int r = 0; r < kLanes; ++r) unit[r] = T(1) / scale[r];
  lanes.grid_error(x, columns, stride, weight, scale, zero, top, unit, norm, best);
  for (int i = 1; i < options.shrink_steps; ++i) {
    const T p = T(1) - static_cast<T>(i) / T(100);
    for (int r = 0; r < kLanes; ++r)
      GridOfRange(options, p * min[r], p * max[r], trial_scale[r], trial_zero[r]);
    lanes.grid_error(x, columns, stride, weight, trial_scale, trial_zero, top, unit, norm, error);
    for (int r = 0; r < kLanes; ++r) {
      if (error[r] < best[r]) {
        best[r] = error[r];
        scale[r] = trial_scale[r];
        zero[r] = trial_zero[r];
      }
    }
  }
}

template void FitGrids<float>(const GridOptions&, const float*, int64_t, int64_t, const float*, float*,
                              float*);
template void FitGrids<double>(const GridOptions&, const double*, int64_t, int64_t, const double*, double*,
                               double*);

std::vector<float> Dequantize(const AffineCodes& m) {
  std::vector<float> values(m.codes.size());
  for (int64_t r = 0; r < m.rows; ++r) {
    const uint8_t* codes = m.codes.data() + r * m.cols;
    const float* scales = m.scales.data() + r * m.groups;
    const uint8_t* zeros = m.zeros.data() + r * m.groups;
    for (int64_t c = 0; c < m.cols; ++c) {
      const int32_t g = m.g_idx[static_cast<size_t>(c)];
      values[static_cast<size_t>(r * m.cols + c)] = scales[g] * static_cast<float>(codes[c] - zeros[g]);
    }
  }
  return values;
}

}  // namespace lowbit
