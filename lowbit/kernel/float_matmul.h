// y = x W^T with W in f32, f16 or bf16, row-major, at any address (a mapped foreign file). f32 arithmetic.
//
// Each output is one dot product whose lanes run over the columns and are added at the end: its bits depend
// neither on the number of tokens nor on threads.
#pragma once

#include <cstdint>

#include "lowbit/base/dtype.h"
#include "lowbit/base/thread_pool.h"

namespace lowbit {

struct FloatMatrix {
  DType type = DType::kF32;    // kF32, kF16, kBF16
  int64_t rows = 0, cols = 0;  // (out, in)
  const uint8_t* bytes = nullptr;
};

// x (T, cols), row t at x + t * x_stride; y (T, rows), row t at y + t * y_stride. Throws Error on another
// type.
void MatMulFloat(const FloatMatrix& w, const float* x, int64_t tokens, int64_t x_stride, float* y,
                 int64_t y_stride, ThreadPool& pool);

}  // namespace lowbit
