// The operations between matrix products, on rows of f32. Reductions keep 16 partial sums on every target and
// add them in a fixed order, so a row's result depends neither on the target's width nor on threads.
#pragma once

#include <cstdint>

namespace lowbit {

// out_i = x_i / sqrt(mean(x^2) + epsilon) * weight_i; weight may be null (all 1). out may be x.
void RmsNorm(const float* x, const float* weight, float epsilon, int64_t n, float* out);

// y_i += x_i
void Add(const float* x, int64_t n, float* y);
// x_i *= factor
void Scale(float factor, int64_t n, float* x);

// out_i = silu(gate_i) * up_i, silu(v) = v / (1 + exp(-v)). out may be gate or up.
void SiluGlu(const float* gate, const float* up, int64_t n, float* out);
// out_i = gelu(gate_i) * up_i with the tanh form: gelu(v) = v / (1 + exp(-2 sqrt(2/pi) (v + 0.044715 v^3))).
void GeluTanhGlu(const float* gate, const float* up, int64_t n, float* out);

// x becomes exp(x - max) / sum, in place.
void Softmax(float* x, int64_t n);
// cap * tanh(x / cap), in place (Gemma's soft cap).
void SoftCap(float cap, int64_t n, float* x);

// Rotary embedding of one head: for i < half, (x_i, x_{half+i}) turns by the angle whose cosine and sine are
// given.
void Rotate(const float* cosine, const float* sine, int64_t half, float* x);

// <a, b>
float Dot(const float* a, const float* b, int64_t n);
// max_i x_i's first index; n >= 1.
int64_t ArgMax(const float* x, int64_t n);

}  // namespace lowbit
