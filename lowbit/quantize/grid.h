// Uniform affine grids, one for each (row, group of columns), and how they are fitted.
//
//   value = scale * (code - zero),   code in [0, 2^bits - 1],   zero an integer in the same range.
//
// The scale is rounded to f16 *before* any code is chosen, because f16 is what files hold; it never
// underflows to zero (smallest: 2^-24) nor overflows. The rounding rule is stated once, in lane_kernels.h.
// Fits (x the group's weights, 0 always inside the range):
//   asymmetric  scale = (max - min) / (2^bits - 1), zero = rint(-min / scale)                    [GPTQ, grid]
//   symmetric   the same with max = -min = max|x| and zero = 2^(bits-1): the top level is one step short of
//   max|x| an all-zero group gets the range [-1, 1] shrink search: both ends times p = 1 - i/100, i = 0 ..
//   steps-1; the p with least sum_c weight_c |x - Q(x)|^norm wins, the larger range on a tie.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lowbit/quantize/lane_kernels.h"

namespace lowbit {

enum class GridKind { kAsymmetric, kSymmetric };

struct GridOptions {
  int bits = 4;  // 1 ... 8
  GridKind kind = GridKind::kAsymmetric;
  int shrink_steps = 0;  // 0: the full range; 80 is customary for the search
  double norm = 2.4;     // of the search
  int min_zero = 0;      // 1 where zero - 1 is what a file stores (GPTQ v1)
};

// Throws lowbit::UsageError for options out of range.
void CheckGridOptions(const GridOptions& options);

// Grids of kLanes rows for the columns of one group: x as in lane_kernels.h, `weight` one non-negative
// importance a column, or null. Writes scale and zero (kLanes each). x must be finite.
template <typename T>
void FitGrids(const GridOptions& options, const T* x, int64_t columns, int64_t stride, const T* weight,
              T* scale, T* zero);

// A matrix of codes with its grids: what the affine solvers return and packers consume.
struct AffineCodes {
  int64_t rows = 0, cols = 0, groups = 0;  // (out, in), groups of columns
  int bits = 0;
  std::vector<uint8_t> codes;  // (rows, cols) in the layer's own column order
  std::vector<float> scales;   // (rows, groups), each exactly an f16
  std::vector<uint8_t> zeros;  // (rows, groups)
  std::vector<int32_t> g_idx;  // (cols) the group of each column
};

// (rows, cols) scale * (code - zero).
std::vector<float> Dequantize(const AffineCodes& matrix);

}  // namespace lowbit
