// The inner loops of grid fitting and of the column sweep, on strips of kLanes rows.
//
// A strip is stored transposed: element (row r, column c) at x[c * stride + r], r < kLanes, so that one SIMD
// lane is one row of the weight matrix and nothing is ever summed across lanes. Rows are therefore
// independent to the last bit. T is float or double; compiled for every SIMD target, the best one is chosen
// at run time.
//
// THE ROUNDING RULE, the only one in the affine quantizers (grid, sweep and round-to-nearest share this
// code):
//   code = clamp(rint(w / scale) + zero, 0, max_code),   value = scale * (code - zero),
// with a true division and ties to even. `zero` and `code` are integers held in T.
#pragma once

#include <cstdint>

namespace lowbit {

// Two AVX-512 registers of floats: enough independent work to hide latency, and a block of 128 columns of
// them (16 KiB) stays in L1.
inline constexpr int kLanes = 32;

template <typename T>
struct LaneKernels {
  // The rounding rule: w, scale, zero, value, code have kLanes elements each.
  void (*quantize)(const T* w, const T* scale, const T* zero, T max_code, T* value, T* code);

  // The same rule with a real offset and one zero for all lanes, as GGUF's grids need it:
  //   code = clamp(rint((w + offset) / step) + zero, 0, max_code),   value = step * (code - zero) - offset,
  // and code = zero where step is 0.
  void (*quantize_offset)(const T* w, const T* step, const T* offset, T zero, T max_code, T* value, T* code);

  // error = (w - value) / pivot, then tile[j * kLanes + r] -= error[r] * u[j] for j < columns. `error` is
  // written.
  void (*spread)(const T* w, const T* value, T pivot, const T* u, int64_t columns, T* error, T* tile);

  // min[r] = min(0, x), max[r] = max(0, x) over the columns.
  void (*range)(const T* x, int64_t columns, int64_t stride, T* min, T* max);

  // error[r] = sum_c weight[c] * |(x - Q(x)) * unit[r]|^norm with Q the rounding rule; `weight` null means 1.
  // `unit` only keeps powers of tiny differences from underflowing.
  void (*grid_error)(const T* x, int64_t columns, int64_t stride, const T* weight, const T* scale,
                     const T* zero, T max_code, const T* unit, T norm, T* error);
};

// The kernels for this machine.
template <typename T>
const LaneKernels<T>& Lanes();

}  // namespace lowbit
