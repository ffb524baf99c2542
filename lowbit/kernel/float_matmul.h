// y = x W^T with W (out, in) in f32, bf16 or f16, row after row as checkpoints store it.
//
// A product of row and token runs over chunks of 1024 columns; inside a chunk 16 partial sums take every 16th
// column (fused multiply-add) and are then added pairwise; chunks are added in order. This order is the same
// for any number of tokens and threads, so a token's result is the same bits in prefill and in decoding.
#pragma once

#include <cstdint>

#include "lowbit/base/dtype.h"
#include "lowbit/base/thread_pool.h"

namespace lowbit {

// A view of a float matrix. `data` may be unaligned (a mapped file).
struct FloatMatrix {
  DType type;          // kF32, kBF16 or kF16
  int64_t rows, cols;  // (out, in)
  const void* data;
};

// y (T, rows), row t at y + t * y_stride, for x (T, cols), row t at x + t * x_stride. Throws Error for
// another type.
void MatMul(const FloatMatrix& w, const float* x, int64_t tokens, int64_t x_stride, float* y,
            int64_t y_stride, ThreadPool& pool);

// `count` values of `type` as f32. Throws Error unless type is kF32, kBF16 or kF16.
void ConvertToFloat(DType type, const void* from, int64_t count, float* to);
// f32 to `type`, to nearest even.
void ConvertFromFloat(const float* from, int64_t count, DType type, void* to);

}  // namespace lowbit
