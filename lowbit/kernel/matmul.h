// y = x W^T with W packed (format.h) and x rounded to 8 bits (activations.h).
//
// For token t and row r, over blocks B of 128 columns and units u of columns that share a weight scale (16,
// 32, 64 or 128 columns; wider groups count as units of 128):
//
//   y[t, r] = sum_B xs[t, B] * sum_{u in B} (s[r, u] * dot[t, r, u] + m[r, u] * sum[t, u])
//             + sum over outlier columns c of x[t, c] * w[r, c]
//
// dot = sum of code * q, an exact int32; for formats centred at 2^(bits-1) the centre is subtracted inside
// that integer and m is absent; m = -s * zero for zero points. Where sub-scales multiply integers
// (ScalesIntegers: Q2_K, Q3_K, Q4_K) the sum over u is d * sum (sub * dot) - dmin * sum (submin * sum), both
// sums exact. Sums over B, u and c run in ascending order with fused multiply-adds, whatever the number of
// tokens or threads: a token's result is the same bits in prefill and in decoding.
#pragma once

#include <cstdint>
#include <span>

#include "lowbit/base/thread_pool.h"
#include "lowbit/kernel/activations.h"
#include "lowbit/kernel/packed_matrix.h"

namespace lowbit {

// One product of a call: y (T, w.rows), row t at y + t * y_stride.
struct MatMulJob {
  const PackedMatrix* w;
  float* y;
  int64_t y_stride;
};

// With a table of levels, code stands for CodeTable's byte, the centre is the table's, and s holds its unit.
//
// Throws Error when a matrix has not x.cols() columns, or when the levels of its table do not fit bytes
// (PackedMatrix::in_bytes).
void MatMul(const PackedMatrix& w, const QuantizedActivations& x, float* y, int64_t y_stride,
            ThreadPool& pool);

// Several matrices with the same input (q, k, v; gate, up) in one fork and join.
void MatMulMany(std::span<const MatMulJob> jobs, const QuantizedActivations& x, ThreadPool& pool);

// The same product with f32 activations x (T, K), row t at x + t * x_stride: weights are expanded to f32 tile
// by tile. Sums run in ascending column order.
void MatMulF32(const PackedMatrix& w, const float* x, int64_t tokens, int64_t x_stride, float* y,
               int64_t y_stride, ThreadPool& pool);

}  // namespace lowbit
