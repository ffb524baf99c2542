// The operations between matrix products, on rows of f32.
#pragma once

#include <cstdint>

#include "lowbit/base/thread_pool.h"

namespace lowbit {

// y = x / sqrt(mean(x^2) + eps) * weight, n entries. The mean is a sum over fixed lanes, then over the lanes.
void RmsNorm(const float* x, const float* weight, float* y, int64_t n, float eps);

// Rotary embedding in place: in each head pair (i, i + half) turns by the angle whose cosine and sine are
// cos[i], sin[i]. x (heads, head_size); half <= head_size / 2.
void RotateHeads(float* x, int64_t heads, int64_t head_size, const float* cos, const float* sin,
                 int64_t half);

enum class GluActivation : uint8_t { kSilu, kGeluTanh };

// y = act(gate) * up, n entries. silu(x) = x / (1 + e^-x); gelu_tanh(x) = x/2 (1 + tanh(sqrt(2/pi) (x +
// 0.044715 x^3))).
void Glu(GluActivation activation, const float* gate, const float* up, float* y, int64_t n, ThreadPool& pool);

// y = a + b, n entries; y may be a or b.
void Add(const float* a, const float* b, float* y, int64_t n, ThreadPool& pool);

// y (rows, width) += bias (width).
void AddBias(float* y, const float* bias, int64_t rows, int64_t width);

}  // namespace lowbit
