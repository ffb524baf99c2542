// Fitting the grids of GGUF's block types to weights, by importance.
//
// For each block minimise sum_c w_c (x_c - value_c)^2 over d, dmin (f16) and all sub-block scales and mins
// (small integers), codes always re-rounded:
//   1. each sub-block on its own: search over step sizes, least squares for each (ggml_kernels.h);
//   2. d and dmin that represent the sub-block scales and mins best;
//   3. alternately: every sub-block tries the neighbours of its integers; d and dmin are refitted by least
//   squares
//      over the whole block and rounded to f16. A change is kept only if the true error, with everything as
//      stored, falls.
// All numbers are at their stored precision when this returns, so codes can be chosen one column at a time
// later.
#pragma once

#include "lowbit/quantize/ggml_grid.h"
#include "lowbit/quantize/lane_kernels.h"

namespace lowbit {

// The grids of one block of kLanes rows. Integers are held in float; unused entries are left alone.
struct GgmlLaneFit {
  float d[kLanes], dmin[kLanes];             // each exactly an f16
  float scale[16][kLanes], min[16][kLanes];  // [sub-block][row]
};

// x and w (block, kLanes): weights and non-negative importances. x finite. Returns through `fit`; `error`, if
// not null, receives the weighted squared error of each row (kLanes).
void FitGgmlBlock(const GgmlGrid& grid, const float* x, const float* w, GgmlLaneFit& fit,
                  float* error = nullptr);

}  // namespace lowbit
