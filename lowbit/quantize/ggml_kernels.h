// Inner loops of ggml_fit.h on strips of kLanes rows (lane_kernels.h explains strips; here the stride is
// kLanes).
//
// A sub-block has n columns: x and its importance w are (n, kLanes). The grid of each lane is
//   value = scale * l - offset,   l = clamp(rint((x + offset) / scale), -code_zero, code_max - code_zero),
// and l = 0 where scale = 0.
#pragma once

#include <cstdint>

#include "lowbit/quantize/lane_kernels.h"

namespace lowbit {

struct LaneRange {
  float code_max, code_zero;
};

// Weighted sums over the columns of a sub-block, a lane each, with l as above: sum w l^2, w l, w x l, w x, w.
struct LaneMoments {
  float ll[kLanes], l[kLanes], xl[kLanes], x[kLanes], w[kLanes];
};

struct GgmlKernels {
  // Fits value = scale l + minimum by search over step sizes anchored at the smallest weight, least squares
  // for each, all re-rounded; minimum <= limit. offset = -minimum.
  void (*fit_offset)(const float* x, const float* w, int n, LaneRange range, float limit, float* scale,
                     float* offset);
  // Fits value = scale l, scale of either sign, by search over step sizes anchored at the largest |x|.
  void (*fit_signed)(const float* x, const float* w, int n, LaneRange range, float* scale);
  // error = sum w (x - value)^2.
  void (*error)(const float* x, const float* w, int n, LaneRange range, const float* scale,
                const float* offset, float* error);
  void (*moments)(const float* x, const float* w, int n, LaneRange range, const float* scale,
                  const float* offset, LaneMoments* moments);
};

const GgmlKernels& GgmlLanes();

}  // namespace lowbit
